"""What a state remembers of lists that are compared as a whole, so that a deletion is found after a restart
too. Pure.

    snapshot    {account_id/identity: {updated_at, last_count, last_digest}}

Each object of a list has an entry of its own, so that a merge patch has only what differs. The entry is the
CDK's own `Snapshot`: a connector that knows nothing of it reads the state all the same. Its digest is that of
the object's last version, none where that is not known. After a blank come the object's keys as JSON, without
an id that is the identity.
"""

import base64
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import orjson
from estuary_cdk.capture.common import ResourceState

from source_stripe_native.state.parts import Json


@dataclass(frozen=True, slots=True)
class Listed:
    """What is remembered of an object: a digest of its last version, empty where that is not known, and what
    a tombstone needs."""

    digest: bytes
    keys: Json


def entry_key(account_id: str | None, identity: str) -> str:
    return f"{account_id or ''}/{identity}"


def to_entry(identity: str, listed: Listed, at: datetime) -> Json:
    """The entry of an object that was found to differ at `at`."""
    digest = base64.b64encode(listed.digest).decode().rstrip("=")
    # Mostly, the identity is the id.
    keys = {name: value for name, value in listed.keys.items() if (name, value) != ("id", identity)}
    text = orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()
    return {"updated_at": at.isoformat(), "last_count": 1, "last_digest": f"{digest} {text}"}


def read_entries(
    state: ResourceState, account_ids: Collection[str]
) -> tuple[list[tuple[str, str, Listed]], Json]:
    """The account, the identity and what is remembered of each object of these accounts; and the merge patch
    that removes the entries of others, and those that are not as `to_entry` makes them. So it removes a
    snapshot of another kind, the only one of its binding: with entries beside it none could be read."""
    known, patch = list[tuple[str, str, Listed]](), Json()
    if isinstance(state.snapshot, ResourceState.Snapshot):
        return known, dict.fromkeys(ResourceState.Snapshot.model_fields)
    for key, entry in (state.snapshot or {}).items():
        account_id, _, identity = key.partition("/")
        listed = _read(identity, entry.last_digest) if entry is not None else None
        if listed is None or account_id not in account_ids:
            patch[key] = None
        else:
            known.append((account_id, identity, listed))
    return known, patch


def _read(identity: str, text: str) -> Listed | None:
    digest, _, keys = text.partition(" ")
    try:
        read = orjson.loads(keys)
        decoded = base64.b64decode(digest + "=" * (-len(digest) % 4))
    except ValueError:
        return None
    return Listed(decoded, {"id": identity} | read) if identity and isinstance(read, dict) else None
