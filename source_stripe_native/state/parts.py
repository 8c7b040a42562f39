"""The parts of a state, its cursors and unfinished backfills, as values that many bindings and accounts
share; and merge patches (RFC 7396) between states. Pure.

A part is a model of half a kilobyte, and ten thousand accounts have half a million of them. Nearly all say
one of a few times, so that the same part is one object wherever it is meant:

    Charges.inc    acct_1 --+      acct_2 --+
    Prices.inc     acct_1 --+--> 12:00:07   +--> 12:00:09

Rule: a shared part is never changed. An account's part moves by being replaced, and whoever changes parts
in place (the loops over changes and pages, ours and the CDK's) first makes a copy of its own. Of two states,
only the parts that are not the same object are dumped and compared.
"""

from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

from estuary_cdk.capture.common import ResourceState
from estuary_cdk.utils import json_merge_patch
from pydantic import BaseModel, ValidationError

Json = dict[str, Any]
Incremental = ResourceState.Incremental
Backfill = ResourceState.Backfill

Part = TypeVar("Part", Incremental, Backfill)
PerAccount = dict[str, Part | None]
"""Parts by key: an account's id, which a backfill's suffix may follow. None where a part was deleted."""

_TIMED: Final[dict[str, type[Incremental | Backfill]]] = {"cursor": Incremental, "cutoff": Backfill}
"""The kinds of parts, by the field that has a part's time."""


class SharedParts:
    """The parts of one text, such as the state that a capture resumes from: equal ones are the same
    object."""

    def __init__(self) -> None:
        self._known: dict[Hashable, Incremental | Backfill] = {}

    def read(self, part: Json) -> Any:
        """The part that a JSON object stands for. Any other object, and a part without a time, is returned
        as it is: as an object hook of `json.loads` this reads a state without keeping a dict for each
        part."""
        if len(part) == 1:
            ((name, at),) = part.items()
            if name not in _TIMED or not isinstance(at, str):
                return part
            if (known := self._known.get((name, at))) is None and (known := _timed(name, part)) is not None:
                self._known[name, at] = known
            return part if known is None else known
        if len(part) == 2 and "cutoff" in part and isinstance(part.get("next_page"), str):
            # Hardly ever the same, so that it is not worth knowing.
            return _timed("cutoff", part) or part
        return part


def _timed(name: str, part: Json) -> Incremental | Backfill | None:
    """A part with a time. What is none is left for the state's own types, which say why."""
    try:
        read = _TIMED[name].model_validate(part)
    except ValidationError:
        return None
    return read if isinstance(getattr(read, name), datetime) else None


@lru_cache
def cursor_at(second: int) -> Incremental:
    """The shared cursor at a second in Unix time."""
    return Incremental(cursor=datetime.fromtimestamp(second, tz=UTC))


def own(parts: PerAccount[Part], key: str) -> Part:
    """Makes the part under `key` one that may be changed in place, and returns it."""
    shared = parts[key]
    assert shared is not None, f"{key} has no part: reconcile the state first"
    parts[key] = part = shared.model_copy()
    return part


class Shared(PerAccount[Part]):
    """Parts that are all shared. The CDK makes a deep copy of an initial state: it then shares them too."""

    def __deepcopy__(self, _: Any) -> "Shared[Part]":
        return Shared(self)


def share(cursors: PerAccount[Incremental], account_id: str) -> None:
    """Makes an account's cursor a shared one again, unless it has a fraction of a second."""
    mine = cursors[account_id]
    at = mine.cursor if mine is not None else None
    if isinstance(at, datetime) and at.microsecond == 0 and at.tzinfo is UTC:
        cursors[account_id] = cursor_at(int(at.timestamp()))


def own_all(state: ResourceState) -> None:
    """Makes all parts of a state such that they may be changed in place."""
    if isinstance(state.inc, Incremental):
        state.inc = state.inc.model_copy()
    if isinstance(state.backfill, Backfill):
        state.backfill = state.backfill.model_copy()
    elif state.backfill is not None:
        state.backfill = {key: part and part.model_copy() for key, part in state.backfill.items()}


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
        if isinstance(after, dict):
            inner = merge_diff(before if isinstance(before, dict) else {}, after)
            if inner or not isinstance(before, dict):
                patch[key] = inner
        elif before != after:
            patch[key] = after
    return patch


def _json(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_none=True) if isinstance(value, BaseModel) else value


def apply(state: ResourceState, patch: Json) -> None:
    """Merges a patch of cursors and backfills into a state in memory, in place."""
    shared = SharedParts()
    for name, change in patch.items():
        parts = getattr(state, name)
        # The fields of a single part have other values.
        is_by_key = isinstance(change, dict) and all(isinstance(x, dict | None) for x in change.values())
        if not isinstance(parts, dict) or not is_by_key:
            merged = state_of(**{name: parts}).model_dump(mode="json", include={name}, exclude_none=True)
            json_merge_patch(merged, {name: change})
            setattr(state, name, getattr(ResourceState.model_validate(merged), name))
            continue
        for key, value in change.items():
            if value is None:
                parts.pop(key, None)
                continue
            merged = _json(parts.get(key)) or {}
            json_merge_patch(merged, value)
            part = shared.read(merged)
            kind = Incremental if name == "inc" else Backfill
            parts[key] = kind.model_validate(part) if isinstance(part, dict) else part
