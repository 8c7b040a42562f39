"""How far each binding of a capture is, as the capture's state tells it.

It knows the states of connectors that are built on Estuary's CDK: a cursor in `inc` and what is under way in
`backfill`, flat or by account. Where a state is of another shape, its binding counts as following.
"""

from collections.abc import Iterable, Iterator, Mapping
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

    def has_caught_up(self, began: datetime) -> bool:
        """Whether the binding has all that there was when the preview `began`, but for what LAG leaves."""
        return self.phase == "following" and (self.cursor is None or self.cursor >= began - LAG)


def standings(state: Mapping[str, Any], keys: Iterable[str]) -> Iterator[Standing]:
    """The standing of each binding, by its state key. A state of many accounts is looked at only as far as
    it is asked for."""
    states = state.get("bindingStateV1") or {}
    return (_standing(states.get(key)) for key in keys)


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
