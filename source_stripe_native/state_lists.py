"""What a state remembers of lists that are compared as a whole, so that a deletion is found after a restart
too. Pure.

    snapshot    {account_id/identity: {updated_at, last_count, last_digest}}

Each object of a list has an entry of its own, so that a merge patch has only what differs. The entry is the
CDK's own `Snapshot`: a connector that knows nothing of it reads the state all the same. Its digest is that of
the object's last version, none where that is not known, and after a blank come the object's keys as JSON.
"""

import base64
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson
from estuary_cdk.capture.common import ResourceState
from pydantic import ValidationError

from source_stripe_native.state_parts import Json

Entries = Mapping[str, ResourceState.Snapshot | None]
"""The entries of a binding's state, by `entry_key`."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What is remembered of an object: a digest of its last version, empty where that is not known, and what
    a tombstone needs."""

    digest: bytes
    keys: Json


def entry_key(account_id: str | None, identity: str) -> str:
    return f"{account_id or ''}/{identity}"


def to_entry(listed: Listed, at: datetime) -> Json:
    """The entry of an object that was found to differ at `at`."""
    digest = base64.b64encode(listed.digest).decode().rstrip("=")
    keys = orjson.dumps(listed.keys, option=orjson.OPT_SORT_KEYS).decode()
    return {"updated_at": at.isoformat(), "last_count": 1, "last_digest": f"{digest} {keys}"}


def read_entries(state: ResourceState) -> Iterator[tuple[str, str, Listed]]:
    """The account, the identity and what is remembered of each object. What is not as `to_entry` makes it is
    left out."""
    for key, entry in _entries(state).items():
        account_id, _, identity = key.partition("/")
        if entry is not None and identity and (listed := _read(entry.last_digest)) is not None:
            yield account_id, identity, listed


def forgotten_entries(state: ResourceState, account_ids: Collection[str]) -> Json:
    """The merge patch of the entries that removes those of other accounts, and those that cannot be read."""
    readable = {entry_key(account_id, identity) for account_id, identity, _ in read_entries(state)}
    return {
        key: None
        for key in _entries(state)
        if key not in readable or key.partition("/")[0] not in account_ids
    }


def readable_entries(former: object) -> Json:
    """The entries of a former state, which may be in a shape of long ago."""
    found = former.get("snapshot") if isinstance(former, dict) else None
    return {key: each for key, each in found.items() if _is_entry(each)} if isinstance(found, dict) else {}


def _entries(state: ResourceState) -> Entries:
    return state.snapshot if isinstance(state.snapshot, dict) else {}


def _read(text: str) -> Listed | None:
    digest, _, keys = text.partition(" ")
    try:
        found = orjson.loads(keys)
        decoded = base64.b64decode(digest + "=" * (-len(digest) % 4))
    except ValueError:
        return None
    return Listed(decoded, found) if isinstance(found, dict) and found else None


def _is_entry(entry: object) -> bool:
    try:
        ResourceState.Snapshot.model_validate(entry)
    except ValidationError:
        return False
    return True
