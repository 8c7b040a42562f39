"""The parts of a state, its cursors and unfinished backfills, as values that many bindings and accounts
share; and merge patches (RFC 7396) between states. Pure.

A part is a model of half a kilobyte. Of many accounts nearly all say one of a few times, so that the same
part is one object wherever it is meant.

Rule: a shared part is never changed. An account's part moves by being replaced, and whoever changes parts
in place (the loops over changes and pages, ours and the CDK's) first makes a copy of its own. Of two states,
only the parts that are not the same object are dumped and compared.
"""

from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from estuary_cdk.capture.common import LogCursor, ResourceState
from estuary_cdk.utils import json_merge_patch
from pydantic import BaseModel

from source_stripe_native.errors import ConnectorError

Json = dict[str, Any]
Incremental = ResourceState.Incremental
Backfill = ResourceState.Backfill

Part = TypeVar("Part", Incremental, Backfill)
PerAccount = dict[str, Part | None]
"""Parts by key: an account's id, which a backfill's suffix may follow. None where a part was deleted."""


@lru_cache(maxsize=1024)
def part_at(name: str, second: int) -> Any:
    """The shared part at a second in Unix time, of the kind whose time has this `name`: cursor or cutoff."""
    kind = Incremental if name == "cursor" else Backfill
    return kind.model_validate({name: datetime.fromtimestamp(second, tz=UTC)})


def cursor_at(second: int) -> Incremental:
    """The shared cursor at a second in Unix time."""
    cursor: Incremental = part_at("cursor", second)
    return cursor


def cursor_time(cursor: LogCursor) -> datetime:
    """A cursor or cutoff of the state as a time, which all of Stripe's are. Raises ConnectorError for any
    other."""
    if isinstance(cursor, datetime):
        return cursor
    raise ConnectorError(
        f"The state holds a cursor or cutoff that is not a time: {cursor!r}. Backfill the binding again."
    )


def own(parts: PerAccount[Part], key: str) -> Part:
    """Makes the part under `key` one that may be changed in place, and returns it."""
    shared = parts[key]
    assert shared is not None, f"{key} has no part: reconcile the state first"
    parts[key] = part = shared.model_copy()
    return part


class Shared(PerAccount[Part]):
    """Parts that are all shared. The CDK makes a deep copy of an initial state, which shares them too: to
    copy those of very many accounts would take seconds."""

    def __deepcopy__(self, _: Any) -> "Shared[Part]":
        return Shared(self)


def state_of(**parts: Any) -> ResourceState:
    """A state of these fields, which are taken as they are: to examine each account's parts again would
    cost more than all else that is done with them."""
    return ResourceState.model_construct(**parts)


def difference(old: ResourceState, new: ResourceState) -> Json:
    """The merge patch that turns the cursors and backfills of `old` into those of `new`."""
    return merge_diff({"inc": old.inc, "backfill": old.backfill}, {"inc": new.inc, "backfill": new.backfill})


def merge_diff(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    """The merge patch that turns `old` into `new`. Their values are JSON or parts; null is nothing."""
    patch: Json = {key: None for key in old if key not in new}
    for key, part in new.items():
        if part is old.get(key):
            continue
        before, after = _json(old.get(key)), _json(part)
        if isinstance(after, Mapping):
            inner = merge_diff(before if isinstance(before, Mapping) else {}, after)
            if inner or not isinstance(before, Mapping):
                patch[key] = inner
        elif before != after:
            patch[key] = after
    return patch


def _json(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, BaseModel) else value


def apply(state: ResourceState, patch: Json) -> None:
    """Merges a patch of cursors and backfills into a state in memory, in place."""
    for name, change in patch.items():
        parts = getattr(state, name)
        # The fields of a single part have other values.
        is_by_key = isinstance(change, dict) and all(isinstance(x, dict | None) for x in change.values())
        if not isinstance(parts, MutableMapping) or not is_by_key:
            plain = dict(parts) if isinstance(parts, Mapping) else parts
            merged = state_of(**{name: plain}).model_dump(mode="json", include={name}, exclude_none=True)
            json_merge_patch(merged, {name: change})
            setattr(state, name, getattr(ResourceState.model_validate(merged), name))
            continue
        for key, value in change.items():
            if value is None:
                parts.pop(key, None)
            else:
                merged = _json(parts.get(key)) or {}
                json_merge_patch(merged, value)
                parts[key] = (Incremental if name == "inc" else Backfill).model_validate(merged)
