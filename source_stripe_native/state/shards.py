"""Shard: the part of a capture's accounts that one process captures. Pure.

Flow splits a capture by giving each of its shards a part of one range of keys, the numbers of 32 bits. An
account's key is the first eight hexadecimal digits of the SHA-256 of its id:

    0                        key of acct_1Abc                    0xFFFFFFFF
    |------- shard 0 -------|--------*-------- shard 1 ------------------|

Rule: everything of an account is captured by the shard that has its key, so that no object is written by two
shards. The key depends on the id alone: an account stays where it is until its shard is split.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

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
