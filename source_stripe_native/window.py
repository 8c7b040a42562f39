"""Which stretch of /v1/events a sweep reads. Pure: a function of cursor, clock, lag and span.

    cursor          cursor + span              now - lag        now
      |----- this sweep -----|---- later sweeps ----|  not yet    |

Stripe's clock is whole seconds, so a window is a half-open range of them: the second of its end belongs to
the next one, no second is read twice and none is skipped. A cursor with a fraction of a second (as older
states have it) is floored: its second is read in full.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

LAG: Final = timedelta(minutes=1)
"""How far behind Stripe's clock a window ends at least: events become visible late."""

RETENTION: Final = timedelta(days=30)
"""How long Stripe keeps events ("List all events")."""


@dataclass(frozen=True)
class Window:
    """Events with `start <= created < end`, in Unix seconds."""

    start: int
    end: int

    @property
    def end_at(self) -> datetime:
        return datetime.fromtimestamp(self.end, tz=UTC)


def floor(at: datetime) -> int:
    """`at` as a Unix time in whole seconds, rounded down."""
    return int(at.timestamp() // 1)


def next_window(cursor: datetime, now: datetime, *, lag: timedelta, span: timedelta) -> Window | None:
    """The window to read next, or None where nothing can be read yet. Its end is later than `cursor`, at most
    `now - lag`, and at most `span` (one second at least) after its start."""
    start = floor(cursor)
    end = min(floor(now - lag), start + max(1, int(span.total_seconds())))
    return Window(start, end) if end > start else None


def is_past_retention(cursor: datetime, now: datetime) -> bool:
    """Whether events after `cursor` may already be gone, so that only a new backfill finds what changed."""
    return now - cursor > RETENTION
