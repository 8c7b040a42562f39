"""The parts of a state, its cursors and unfinished backfills, as values that many bindings and accounts
share.

A part is a model of half a kilobyte, and ten thousand accounts have half a million of them. Nearly all say
one of a few times, so that the same part is one object wherever it is meant:

    Charges.inc    acct_1 --+      acct_2 --+
    Prices.inc     acct_1 --+--> 12:00:07   +--> 12:00:09

Rule: a shared part is never changed. An account's part moves by being replaced, and whoever changes parts
in place (the loops over changes and pages, ours and the CDK's) first makes a copy of its own.
"""

from collections.abc import Hashable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar

from estuary_cdk.capture.common import ResourceState
from pydantic import ValidationError

Json = dict[str, Any]
Incremental = ResourceState.Incremental
Backfill = ResourceState.Backfill

Part = TypeVar("Part", Incremental, Backfill)
PerAccount = dict[str, Part | None]
"""Parts by key: an account's id, which a backfill's suffix may follow. None where a part was deleted."""


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
            if isinstance(at := part.get("cursor"), str):
                return self._shared(Incremental, at, part)
            if isinstance(at := part.get("cutoff"), str):
                return self._shared(Backfill, at, part)
        elif len(part) == 2 and "cutoff" in part and isinstance(part.get("next_page"), str):
            # Hardly ever the same, so that it is not worth knowing.
            return _timed(Backfill, part) or part
        return part

    def _shared(self, of: type[Incremental] | type[Backfill], at: str, part: Json) -> Any:
        known = self._known.get((of, at))
        if known is None:
            known = _timed(of, part)
            if known is None:
                return part
            self._known[of, at] = known
        return known


def _timed(of: type[Incremental] | type[Backfill], part: Json) -> Incremental | Backfill | None:
    """A part with a time. What is none is left for the state's own types, which say why."""
    try:
        found = of.model_validate(part)
    except ValidationError:
        return None
    at = found.cursor if isinstance(found, Incremental) else found.cutoff
    return found if isinstance(at, datetime) else None


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
        state.backfill = {key: each and each.model_copy() for key, each in state.backfill.items()}
