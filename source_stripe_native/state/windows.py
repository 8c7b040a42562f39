"""Half-open windows of whole seconds, and how long a window of /v1/events should be. Pure.

    cursor          cursor + span              now - lag        now
      |---- this window -----|---- later windows ----|  not yet  |

The second of a window's end belongs to the next window. A cursor with a fraction of a second (older states
have such cursors) is floored: its second is read in full.

A window is as long as it takes to hold `Settings.target` events, so that a checkpoint is never far away:

    |- span -|- span -|-  ...  -|- newest part of a window that held too much -|

The density of a window shows only while it is read, newest first. When a window proves to hold too much, what
has been read of it is kept until its turn comes. The rest is read in windows of the length that this part
suggests. No event is read for nothing, and a quiet account costs no additional request.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from source_stripe_native.settings import Settings

RETENTION: Final = timedelta(days=30)
"""How long Stripe keeps events ("List all events")."""
DAY: Final = 24 * 60 * 60
"""Seconds of a day. In Unix time, days (UTC) begin at its multiples."""
FOREVER: Final = 2**40
"""The end of a window that has none, in Unix seconds."""


@dataclass(frozen=True)
class Window:
    """What was created at `start <= created < end`, in Unix seconds."""

    start: int
    end: int

    @property
    def seconds(self) -> int:
        return self.end - self.start

    @property
    def end_at(self) -> datetime:
        return datetime.fromtimestamp(self.end, tz=UTC)

    def halves(self) -> "tuple[Window, Window]":
        """The older and the newer half of a window of at least two seconds."""
        middle = self.start + self.seconds // 2
        return Window(self.start, middle), Window(middle, self.end)


def floor(at: datetime) -> int:
    """`at` as a Unix time in whole seconds, rounded down."""
    return int(at.timestamp() // 1)


def second_of(at: Any) -> int | None:
    """A time as Unix seconds, which objects of /v1/ have as a number and those of /v2/ as RFC 3339 text. None
    for anything else."""
    if isinstance(at, str):
        with suppress(ValueError):
            return floor(datetime.fromisoformat(at))
    return at if isinstance(at, int) else None


def next_window(cursor: datetime, now: datetime, *, lag: timedelta, span: timedelta) -> Window | None:
    """The window to read next, None where nothing can be read yet. The window ends later than `cursor`, at
    `now - lag` at the latest, and at most `span` (one second at least) after its start."""
    start = floor(cursor)
    end = min(floor(now - lag), start + max(1, int(span.total_seconds())))
    return Window(start, end) if end > start else None


def low_watermark(now: datetime, settings: Settings) -> int:
    """The second before which no event, and no object of a polled list, can become visible any more, in Unix
    seconds."""
    return floor(now - settings.lag - settings.overlap)


def is_overlap_due(last: int, low_watermark: int, settings: Settings) -> bool:
    """Whether the overlap is to be read. `last` is the `low_watermark` of its last reading."""
    return low_watermark - last >= settings.overlap_interval.total_seconds()


def uncounted_lag(interval: timedelta, settings: Settings) -> timedelta:
    """The part of the lag, in whole seconds, that does not count towards the age at which a cursor is due.

    A cursor is due when it is an `interval` old, and no cursor is ever younger than the lag. All of the lag
    would make short intervals none."""
    counted = min(settings.lag, interval * settings.lag_share)
    return settings.lag - timedelta(seconds=counted // timedelta(seconds=1))


def planned(due: Window, span: int, low_watermark: int) -> Window:
    """The part of the window `due` to read at once: `span` seconds (one at least), or all of `due` where the
    rest would lie after the `low_watermark`. Such a rest is read again with the overlap, so that cutting it
    saves nothing."""
    end = due.start + max(1, span)
    return due if end >= min(due.end, low_watermark) else Window(due.start, end)


def is_too_much(
    window: Window, since: int, events: int, partial: int, low_watermark: int, settings: Settings
) -> bool:
    """Whether a window holds too much to be read at once and is to be cut at the second `since`.

    The window's newest `events`, from `since` on, have been read. Of the second before `since` so far
    `partial` events have been read, which a cut would read again: a quarter of `events` at most. The rest of
    the window is taken to be as dense as that; after the `low_watermark` no further events are expected."""
    if since <= window.start or events < settings.target or partial > events // 4:
        return False
    unread = max(0, min(since, low_watermark) - window.start)
    return events + events * unread // (window.end - since) > 2 * settings.target


def span_for(seconds: int, events: int, settings: Settings) -> int:
    """The length in seconds of a window of `settings.target` events, where `seconds` held so many
    `events`."""
    return max(1, min(seconds * settings.growth, seconds * settings.target // max(1, events)))


def next_span(span: int, seconds: int, events: int, settings: Settings) -> int:
    """The span after a window that held so many `events` in `seconds`. The span shrinks only where that was
    too much."""
    fitting = span_for(seconds, events, settings)
    return fitting if events > settings.target else max(span, fitting)


def is_past_retention(cursor: datetime, now: datetime, margin: timedelta = timedelta()) -> bool:
    """Whether events after `cursor` may already be gone, so that only a new backfill finds what changed; with
    a `margin`, whether they may be gone before they are read."""
    return now - cursor > RETENTION - margin
