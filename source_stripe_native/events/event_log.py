"""The event log: one account's /v1/events, read window by window into event batches.

    read before  |- overlap -|----- window -----|  not yet  |- newest part of a window that held too much -|

Events may become visible late. Once a minute, a reading therefore goes back before its window, into the
overlap, and takes in the events that it sees there for the first time. Events that were seen before are read
along, since only together do they tell which version of an object is the newest: of all that is newer than an
event that may be new, nothing is left out.

    |------- overlap, once a minute -------|----- window -----|
    low watermark

The overlap goes back to the low watermark of the reading with an overlap before. What lies before that is not
read again, so that catching up reads every event once. The readings in between are to be cheap in a busy
account: they read their window alone, of which all is newer than what was read. The low watermark moves with
overlaps only.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import Final

import orjson

from source_stripe_native.settings import Settings
from source_stripe_native.state.windows import (
    Window,
    floor,
    is_overlap_due,
    is_too_much,
    low_watermark,
    next_span,
    next_window,
    planned,
    span_for,
)
from source_stripe_native.streams.core import Events
from source_stripe_native.streams.event_types import current_type, with_older_names
from source_stripe_native.streams.row import PREVIEW
from source_stripe_native.stripe.client import Json, Params
from source_stripe_native.stripe.pages import EVENTS_PATH, Page, Source, range_params, read_page, read_pages

MAX_TYPES: Final = 20
"""The most types that one request may name. Beyond that all events are read."""

Seen = dict[str, tuple[int, int]]
"""Events by id: when each was created, and the end of the window in which it was first seen. To a binding
with an earlier cursor the event is new."""


class _Spool(SpooledTemporaryFile[bytes]):
    """A file that closes itself with its last user: a batch that was dropped may still be read."""

    def __del__(self) -> None:
        self.close()


@dataclass(frozen=True, eq=False)
class EventBatch:
    """The events of `window` and of the overlap before it, newest first: so many `events` in `size` bytes.
    `types` are those of the events that are new to a binding at the window's start; without any, the batch is
    empty. Before the second `low_watermark` (Unix) nothing could become visible any more when the overlap was
    last read."""

    window: Window
    types: frozenset[str]
    low_watermark: int
    events: int
    size: int
    spool: _Spool
    lines_at_once: int

    def lines(self) -> Iterator[bytes]:
        """A line of each event. Others may read the file between two of them."""
        offset = 0
        while offset < self.size:
            self.spool.seek(offset)
            lines = list(islice(self.spool, self.lines_at_once))
            yield from lines
            offset += sum(map(len, lines))

    def first_shown(self) -> dict[str, tuple[int, str]]:
        """The events that no window before showed: when each was created, and its type, by id."""
        shown = {}
        for line in self.lines():
            kind, new_before, body = line.split(b" ", 2)
            if int(new_before) == self.window.end:
                event = orjson.loads(body)
                shown[event["id"]] = event["created"], kind.decode()
        return shown


@dataclass(slots=True)
class LogReader:
    """How far an account's events have been read, in Unix seconds, and what the next readings need to know:
    for all bindings together, or for one that reads on its own."""

    high_watermark: int
    """Before which all events that were visible have been read."""
    types: Collection[str] | None
    """The types to be read: all events where empty, none where None."""
    longest: timedelta
    """How long a window may be."""
    settings: Settings
    is_alone: bool = False
    """Whether one binding reads on its own. It reads every overlap: with the next reading it may go on with
    what the others have seen."""
    has_room: Callable[[int], bool] = lambda _: True
    """Whether a batch of so many bytes may be kept for later."""
    looks_later: bool = False
    """Whether the first window with events is to have with it what is newer: an earlier process may have
    captured that early."""
    later: EventBatch | None = None
    """The newest events at that time, until a window has passed them."""
    low_watermark: int = field(init=False)
    """Before which no new event can be found."""
    span: int = field(init=False)
    """Seconds to read at once."""
    seen: Seen = field(default_factory=dict)
    """The events since the low watermark."""
    ahead: list[tuple[EventBatch, Seen]] = field(default_factory=list)
    """The newest parts of windows that held too much, the next one last."""

    def __post_init__(self) -> None:
        self.low_watermark = self.high_watermark - self.settings.restored_overlap
        self.span = int(self.longest.total_seconds())

    async def read_next(self, source: Source, at_most: int | None = None) -> EventBatch | None:
        """The events of the next window, which ends at `at_most` at the latest. None where no window is due.
        A reading that fails changes nothing."""
        while not (self.ahead and self.ahead[-1][0].window.start == self.high_watermark):
            now = source.http.now()
            cursor = datetime.fromtimestamp(self.high_watermark, tz=UTC)
            due = next_window(cursor, now, lag=self.settings.lag, span=self.longest)
            if due is None:
                return None
            ends = [due.end, *(batch.window.start for batch, _ in self.ahead[-1:])]
            due = Window(due.start, min(ends if at_most is None else [*ends, at_most]))
            low = low_watermark(now, self.settings)
            window = planned(due, self.span, low)
            batch, seen = await self._read(source, window, low)
            # The newest part of a window has to wait.
            if batch.window.start == window.start or self.has_room(batch.size):
                self.ahead.append((batch, seen))
        await self._look_later(source, self.ahead[-1][0])
        batch, seen = self.ahead.pop()
        self.high_watermark = batch.window.end
        self.low_watermark = max(self.low_watermark, min(batch.low_watermark, self.high_watermark))
        self.seen = {key: at for key, at in (self.seen | seen).items() if at[0] >= self.low_watermark}
        return batch

    async def _look_later(self, source: Source, batch: EventBatch) -> None:
        """Reads what is newer than `batch`, where that may have been captured before a restart."""
        if self.looks_later and batch.types and self.types is not None:
            now, settings = floor(source.http.now()), self.settings
            reach, lag = (int(each.total_seconds()) for each in (settings.early_reach, settings.lag))
            self.later = await read_newest(source, self.types, Window(now - reach, now + lag), settings)
            self.looks_later = False
        if self.later is not None and self.later.window.end <= batch.window.end:
            self.later = None

    async def _read(self, source: Source, window: Window, low: int) -> tuple[EventBatch, Seen]:
        """Reads `window`, or its newest part where the window holds too much at once."""
        settings, types = self.settings, self.types
        since, low_after = window.start, self.low_watermark
        if self.is_alone or is_overlap_due(self.low_watermark, low, settings):
            since, low_after = max(0, min(window.start, self.low_watermark)), low
        bounds = range_params(Events, Window(since, window.end))
        builder = BatchBuilder(window, low_after, self.seen, settings)
        if types is None:
            return builder.finish(since)
        asked = type_params(types, source.http.version)
        async for page in _pages(source, [*bounds, *asked]):
            for event in page.objects:
                builder.add(event, types)
            if page.next is None:
                break
            whole_since, events = builder.oldest + 1, builder.events_before
            if is_too_much(window, whole_since, events, builder.events - events, low, settings):
                self.span = span_for(window.end - whole_since, events, settings)
                return builder.finish(whole_since)
        self.span = next_span(self.span, window.seconds, builder.events, settings)
        return builder.finish(since)


class BatchBuilder:
    """Builds a batch from events that come newest first. `known` are the events seen before."""

    def __init__(self, window: Window, low_watermark: int, known: Seen, settings: Settings) -> None:
        self._window, self._low_watermark, self._known = window, low_watermark, known
        self._lines_at_once = settings.batch_lines
        self.oldest = window.end
        """The second of the last event."""
        self.events = self.events_before = 0
        """The number of events in the window, of whatever type: all, and those newer than the second
        `oldest`."""
        self._second: list[tuple[str, str, bytes]] = []
        """The events of the second `oldest`, of which some may be missing: type, id, and the event itself."""
        self._kept = 0
        self._types: set[str] = set()
        self._seen: Seen = {}
        self._spool = _Spool(max_size=settings.batch_memory)

    def add(self, event: Json, types: Collection[str]) -> None:
        kind, created = current_type(event), event["created"]
        if created != self.oldest:
            self._end_second()
            self.oldest, self.events_before = created, self.events
        self.events += created >= self._window.start
        if not types or kind in types:
            self._second.append((kind, event["id"], orjson.dumps(event)))

    def _end_second(self) -> None:
        for kind, event_id, body in self._second:
            _, new_before = self._known.get(event_id, (self.oldest, self._window.end))
            if self.oldest >= self._low_watermark:
                self._seen[event_id] = self.oldest, new_before
            if new_before > self._window.start:
                self._types.add(kind)
            self._spool.write(b"%s %d %s\n" % (kind.encode(), new_before, body))
        self._kept += len(self._second)
        self._second = []

    def finish(self, since: int) -> tuple[EventBatch, Seen]:
        """What was read from the second `since` on: of the window and its overlap, or of the window's newest
        part. Where `since` is the second after `oldest`, the events of `oldest` are left out."""
        if self.oldest >= since:
            self._end_second()
        window, types = Window(max(since, self._window.start), self._window.end), frozenset(self._types)
        size = self._spool.tell() if types else 0
        if not types:
            self._spool.close()
        batch = EventBatch(
            window, types, self._low_watermark, self._kept, size, self._spool, self._lines_at_once
        )
        return batch, self._seen


async def read_newest(
    source: Source, types: Collection[str], window: Window, settings: Settings
) -> EventBatch:
    """The events of `window`, newest first, as many of them as `Settings.early_pages` hold."""
    pages, asked = 0, [*range_params(Events, window), *type_params(types, source.http.version)]
    builder = BatchBuilder(window, window.start, {}, settings)
    async for page in _pages(source, asked):
        for event in page.objects:
            builder.add(event, types)
        pages += 1
        if pages == settings.early_pages:
            break
    batch, _ = builder.finish(window.start)
    return batch


async def _pages(source: Source, params: Params) -> AsyncIterator[Page]:
    """The pages of a reading. Whether the account fails, the first one tells: that a later one fails would
    cost all before it."""
    first = await read_page(source, EVENTS_PATH, params, None)
    attempts = max(source.most_attempts, source.settings.account_attempts)
    async for page in read_pages(replace(source, most_attempts=attempts), EVENTS_PATH, params, first):
        yield page


def type_params(types: Collection[str], version: str | None) -> Params:
    """The filter by type, of those that there are in an API version; none where there are too many."""
    there = {*types} if (version or "").endswith(".preview") else {*types} - PREVIEW
    names = sorted(with_older_names(there))
    return [("types[]", each) for each in names] if len(names) <= MAX_TYPES else []
