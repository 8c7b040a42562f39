"""How far each binding of a capture is, as the capture's state tells it.

It knows the states of connectors that are built on Estuary's CDK: a cursor in `inc` and what is under way in
`backfill`, flat or by account. Where a state is of another shape, its binding counts as following.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

Phase = Literal["waiting", "backfilling", "following"]

LAG = timedelta(seconds=70)
"""How far behind the present a binding may be that has caught up: connectors leave the newest changes time to
become visible."""


@dataclass(frozen=True)
class Standing:
    phase: Phase
    """`waiting` has no state yet."""
    cursor: datetime | None = None
    """The oldest of all accounts."""
    resumed_from: datetime | None = None
    """The cursor of the state that a capture of one account began with."""

    def has_caught_up(self, began: datetime) -> bool:
        """Whether the binding has all that there was when the preview `began`, but for what LAG leaves. A
        cursor from before, however young, says nothing of the changes since."""
        if self.phase != "following" or self.cursor is None:
            return self.phase == "following"
        return self.cursor >= began - LAG and self.cursor != self.resumed_from


def standings(state: Mapping[str, Any], keys: Iterable[str]) -> Iterator[Standing]:
    """The standing of each binding, by its state key. A state of many accounts is looked at only as far as
    it is asked for."""
    states = state.get("bindingStateV1") or {}
    return (_standing(states.get(key)) for key in keys)


def resumed_cursors(state: Mapping[str, Any], keys: Sequence[str]) -> Sequence[datetime | None]:
    """The cursor that each binding resumes from. With many accounts there is none: a capture may read the
    lists of quiet accounts long after its start, so that nobody could wait for a cursor to move."""
    bindings = [(state.get("bindingStateV1") or {}).get(key) for key in keys]
    positions = [binding.get("inc") if isinstance(binding, dict) else None for binding in bindings]
    if any(isinstance(inc, dict) and "cursor" not in inc for inc in positions):
        return [None] * len(positions)
    return [next(_cursors(inc), None) for inc in positions]


def _standing(state: Any) -> Standing:
    if not isinstance(state, dict):
        return Standing("waiting")
    phase: Phase = "backfilling" if _is_under_way(state.get("backfill")) else "following"
    return Standing(phase, min(_cursors(state.get("inc")), default=None))


def _is_under_way(backfill: Any) -> bool:
    match backfill:
        case {"cutoff": _}:
            return True
        case dict():
            return any(_is_under_way(each) for each in backfill.values())
    return False


def _cursors(state: Any) -> Iterator[datetime]:
    match state:
        case {"cursor": str(text)}:
            try:
                cursor = datetime.fromisoformat(text)
            except ValueError:
                return  # a cursor that is no time
            yield cursor if cursor.tzinfo else cursor.replace(tzinfo=UTC)
        case dict():
            for each in state.values():
                yield from _cursors(each)
