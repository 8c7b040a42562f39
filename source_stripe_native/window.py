"""Which stretch of /v1/events a sweep reads. Pure: a function of cursor, clock, lag and span.

    cursor          cursor + span              now - lag        now
      |----- this sweep -----|---- later sweeps ----|  not yet    |

Stripe's clock is whole seconds, so a window is a half-open range of them: the second of its end belongs to
the next one, no second is read twice and none is skipped. A cursor with a fraction of a second (as older
states have it) is floored: its second is read in full.

A window is as long as it takes to hold TARGET events, so that a checkpoint is never far away:

    |- span -|- span -|-  ...  -|- newest part of what held too much -|

How dense a stretch is shows only when it is read, newest first, and its old end, where the cursor is, comes
last. What has been read of a window when it proves to hold too much is kept until its turn comes, and the
rest is read in windows as long as that part suggests. Nothing has been read for nothing, and a quiet account
costs no request more.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

LAG: Final = timedelta(minutes=1)
"""How far behind Stripe's clock a window ends at least: events become visible late."""

OVERLAP: Final = timedelta(minutes=10)
"""How late an event may become visible, beyond the lag, to be captured."""

OVERLAP_SECONDS: Final = int(OVERLAP.total_seconds())

TARGET: Final = 2_000
"""How many events a window is to hold. It may hold twice as many before it is cut."""

GROWTH: Final = 8
"""How much longer a window may be than the stretch whose density it was made for."""

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


def settled_at(now: datetime) -> int:
    """The second before which nothing can become visible any more."""
    return floor(now - LAG - OVERLAP)


def planned(due: Window, span: int, settled: int) -> Window:
    """What is to be read at once of what is `due`: `span` seconds (one at least), or all of it where the rest
    would not be `settled`. Such a rest is read again with whatever follows, with each of its parts too."""
    end = due.start + max(1, span)
    return due if end >= min(due.end, settled) else Window(due.start, end)


def is_too_much(window: Window, since: int, events: int, begun: int, settled: int) -> bool:
    """Whether a window holds too much to be read at once and is to be cut at the second `since`. From there
    on its newest `events` have been read, at least TARGET, and so many of the second that was `begun` before
    as will be read again, a quarter at most. What is to come is taken to be as dense; of that which is not
    `settled` nothing is taken to come."""
    if since <= window.start or events < TARGET or begun > events // 4:
        return False
    left = max(0, min(since, settled) - window.start)
    return events + events * left // (window.end - since) > 2 * TARGET


def span_for(seconds: int, events: int) -> int:
    """The length in seconds of a window to hold TARGET events, where `seconds` held so many."""
    return max(1, min(seconds * GROWTH, seconds * TARGET // max(1, events)))


def next_span(span: int, seconds: int, events: int) -> int:
    """`span` after a window that held so many `events` in `seconds`: it shrinks only where that was too
    much."""
    return span_for(seconds, events) if events > TARGET else max(span, span_for(seconds, events))


def is_past_retention(cursor: datetime, now: datetime) -> bool:
    """Whether events after `cursor` may already be gone, so that only a new backfill finds what changed."""
    return now - cursor > RETENTION
