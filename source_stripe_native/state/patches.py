"""Merge patches (RFC 7396) between states, with as much work as there are differences. Pure.

Rule: parts are shared values, so that a part which is the same object in two states is the same part. Only
where it is not, it is dumped and compared.
"""

from collections.abc import Mapping
from typing import Any

from estuary_cdk.capture.common import ResourceState
from estuary_cdk.utils import json_merge_patch

from source_stripe_native.state.parts import Backfill, Incremental, Json, SharedParts

PARTS = ("inc", "backfill")


def state_of(**parts: Any) -> ResourceState:
    """A state of these fields, which are taken as they are: to examine each account's parts again would
    cost more than all else that is done with them."""
    return ResourceState.model_construct(**parts)


def merge_diff(old: Json, new: Json) -> Json:
    """The RFC 7396 merge patch that turns `old` into `new`, neither of which holds nulls."""
    patch: Json = {key: None for key in old if key not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            if inner := merge_diff(before, value):
                patch[key] = inner
        elif key not in old or before != value:
            patch[key] = value
    return patch


def difference(old: ResourceState, new: ResourceState) -> Json:
    """The merge patch that turns the cursors and backfills of `old` into those of `new`."""
    patch: Json = {}
    for name in PARTS:
        before, after = getattr(old, name), getattr(new, name)
        if isinstance(before, dict) and isinstance(after, dict):
            if inner := _difference_by_key(before, after):
                patch[name] = inner
        elif before is not after:
            patch |= merge_diff(_dump(name, before), _dump(name, after))
    return patch


def _difference_by_key(
    old: Mapping[str, Incremental | Backfill | None], new: Mapping[str, Incremental | Backfill | None]
) -> Json:
    patch: Json = {key: None for key in old if key not in new}
    for key, each in new.items():
        before = old.get(key)
        if each is before:
            continue
        if before is None or each is None:
            patch[key] = each and _json(each)
        elif inner := merge_diff(_json(before), _json(each)):
            patch[key] = inner
    return patch


def apply(state: ResourceState, patch: Json) -> None:
    """Merges a patch of cursors and backfills into a state in memory, in place."""
    shared = SharedParts()
    for name, change in patch.items():
        parts = getattr(state, name)
        if isinstance(parts, dict) and _is_by_key(change):
            for key, value in change.items():
                if value is None:
                    parts.pop(key, None)
                else:
                    parts[key] = _merged(parts.get(key), value, shared, name)
            continue
        merged = _dump(name, parts)
        json_merge_patch(merged, {name: change})
        setattr(state, name, getattr(ResourceState.model_validate(merged), name))


def _is_by_key(change: Any) -> bool:
    """Whether a change of parts leaves them by key. The fields of a single part have other values."""
    return isinstance(change, dict) and all(
        each is None or isinstance(each, dict) for each in change.values()
    )


def _merged(part: Incremental | Backfill | None, change: Json, shared: SharedParts, name: str) -> Any:
    merged = {} if part is None else _json(part)
    json_merge_patch(merged, change)
    found = shared.read(merged)
    if isinstance(found, dict):
        return (Incremental if name == "inc" else Backfill).model_validate(found)
    return found


def _json(part: Incremental | Backfill) -> Json:
    return part.model_dump(mode="json", exclude_none=True)


def _dump(name: str, parts: Any) -> Json:
    return state_of(**{name: parts}).model_dump(mode="json", include={name}, exclude_none=True)
