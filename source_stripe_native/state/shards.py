"""Which accounts one process captures: those that the config selects, of its shard. Pure.

Flow splits a capture by giving each of its shards a part of one range of keys, the numbers of 32 bits. An
account's key is the first eight hexadecimal digits of the SHA-256 of its id:

    0                        key of acct_1Abc                    0xFFFFFFFF
    |------- shard 0 -------|--------*-------- shard 1 ------------------|

Rule: everything of an account is captured by the shard that has its key, so that no object is written by two
shards. The key depends on the id alone: an account stays where it is until its shard is split.

A selection has rules, each an account's id, or a key of its metadata with or without a value. The key's own
account is always selected.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

LAST_KEY: Final = 0xFFFF_FFFF


def key_of(account_id: str) -> int:
    """Where an account lies in the range of keys, from 0 to `LAST_KEY`. Even over any ids."""
    return int.from_bytes(sha256(account_id.encode()).digest()[:4])


@dataclass(frozen=True)
class Shard:
    """The accounts with a key from `first` to `last`, both included, as in Flow's ranges."""

    first: int = 0
    last: int = LAST_KEY

    def has(self, account_id: str) -> bool:
        return self.is_whole or self.first <= key_of(account_id) <= self.last

    def own(self, account_ids: Iterable[str]) -> list[str]:
        """Those of `account_ids` that belong to the shard, in their order."""
        return [account_id for account_id in account_ids if self.has(account_id)]

    @property
    def is_whole(self) -> bool:
        """Whether the capture is not split."""
        return self.first == 0 and self.last == LAST_KEY

    @property
    def share(self) -> float:
        """The shard's part of all keys, and so of all accounts: above 0, and 1 for the whole."""
        return (self.last - self.first + 1) / (LAST_KEY + 1)


WHOLE: Final = Shard()

METADATA: Final = "metadata."


@dataclass(frozen=True)
class Selection:
    """The accounts of the `shard` that match one of the rules `include`, any account where there is none, and
    none of `exclude`. `own_id` is the key's own account."""

    shard: Shard = WHOLE
    own_id: str = ""
    include: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()

    def has(self, account: Mapping[str, Any]) -> bool:
        return self.shard.has(account["id"]) and (account["id"] == self.own_id or self._is_named(account))

    def may_have(self, account_id: str) -> bool:
        """Whether an account of which no more than the id is known may be one."""
        unknown = replace(self, include=frozenset()) if _by_metadata(self.include) else self
        return unknown.has({"id": account_id})

    @property
    def depends_on_metadata(self) -> bool:
        """Whether an account may come or go by an edit of its metadata."""
        return _by_metadata(self.include | self.exclude)

    @property
    def digest(self) -> str:
        """What tells these rules from others, empty where there are none."""
        rules = "\n".join([*sorted(self.include), "", *sorted(self.exclude)])
        return sha256(rules.encode()).hexdigest()[:16] if self.include or self.exclude else ""

    def _is_named(self, account: Mapping[str, Any]) -> bool:
        names = {account["id"]}
        for key, value in (account.get("metadata") or {}).items():
            names |= {f"{METADATA}{key}", f"{METADATA}{key}={value}"}
        return (not self.include or not names.isdisjoint(self.include)) and names.isdisjoint(self.exclude)


def _by_metadata(rules: Iterable[str]) -> bool:
    return any(rule.startswith(METADATA) for rule in rules)


ALL_ACCOUNTS: Final = Selection()
