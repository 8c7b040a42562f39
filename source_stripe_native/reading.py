"""Readings of /v1/events: one account's events of one window, of a size that lets a checkpoint follow soon.

    read before  |- overlap -|----- window -----|  not yet  |- newest part of what was too much -|

Events may become visible late. A reading therefore goes back before its window over what was not settled when
it was read, and takes in what it finds there for the first time. The events seen before are read along, since
only together do they tell which version of an object is the newest: of all that is newer than an event that
may be new, none is left out. What had been settled is not gone over again, so that catching up reads every
event once.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO, Final

import orjson

from source_stripe_native.http import Json, Params
from source_stripe_native.listing import Source, range_params, read_page
from source_stripe_native.models import EVENTS_PATH
from source_stripe_native.window import (
    LAG,
    OVERLAP_SECONDS,
    Window,
    is_too_much,
    next_span,
    next_window,
    planned,
    settled_at,
    span_for,
)

MAX_TYPES: Final = 20
"""The most types that one request may name; beyond that all events are read."""
IN_MEMORY: Final = 1_000_000
"""Bytes of a reading beyond which it is kept on disk."""
LINES: Final = 100
"""Events of a reading that are parsed at once."""

Seen = dict[str, tuple[int, int]]
"""Events by id: when each was created, and before which cursor it is new to a binding: the end of the window
in which it was first seen."""


@dataclass(frozen=True, eq=False)
class Reading:
    """The events of `window` and of the overlap before it, newest first: so many `events` in `size` bytes.
    `types` are those of the events that are new to a binding at its start. Before `settled` nothing could
    become visible any more when it was made."""

    window: Window
    types: frozenset[str]
    settled: int
    events: int
    size: int
    spool: IO[bytes]

    def lines(self, offset: int) -> tuple[list[bytes], int]:
        """Some lines from `offset` on, and the offset after them."""
        self.spool.seek(offset)
        lines = list(islice(self.spool, LINES))
        return lines, offset + sum(map(len, lines))


@dataclass(frozen=True)
class Stretch:
    """What has been read of `window`: no reading where nothing in it is new."""

    window: Window
    settled: int
    reading: Reading | None = None
    seen: Seen = field(default_factory=dict)


@dataclass
class Reader:
    """How far an account's events have been read, in Unix seconds, and what the readings to come have to
    know: of all bindings together, or of one that reads on its own."""

    until: int
    span: int
    """Seconds that are to be read at once."""
    settled: int = field(init=False)
    """Before which nothing new can be found."""
    seen: Seen = field(default_factory=dict)
    """The events since `settled`."""
    ahead: list[Stretch] = field(default_factory=list)
    """The newest parts of windows that held too much, the next one last."""

    def __post_init__(self) -> None:
        self.settled = self.until - OVERLAP_SECONDS

    async def read_on(
        self, source: Source, types: Collection[str] | None, longest: timedelta, at_most: int | None = None
    ) -> Stretch | None:
        """The next stretch, of events of these types (all where empty, none where None) and no further than
        `at_most`. None where nothing is due. A reading that fails is as if it had not begun."""
        while not (self.ahead and self.ahead[-1].window.start == self.until):
            now = source.http.now()
            due = next_window(datetime.fromtimestamp(self.until, tz=UTC), now, lag=LAG, span=longest)
            if due is None:
                return None
            ends = [due.end, *(each.window.start for each in self.ahead[-1:])]
            due = Window(due.start, min(ends if at_most is None else [*ends, at_most]))
            settled = settled_at(now)
            if types is None:
                self.ahead.append(Stretch(due, settled))
            else:
                self.ahead.append(await self._read(source, types, planned(due, self.span, settled), settled))
        return self._take(self.ahead.pop())

    async def _read(self, source: Source, types: Collection[str], window: Window, settled: int) -> Stretch:
        """Reads `window`, or its newest part where all of it is too much at once."""
        draft = _Draft(window, settled, self.seen)
        whole = Window(max(0, min(window.start, self.settled)), window.end)
        params, token = [*range_params(whole), *type_params(types)], None
        while True:
            page = await read_page(source, EVENTS_PATH, params, token)
            for event in page.objects:
                draft.add(event, types)
            if (token := page.next) is None:
                self.span = next_span(self.span, window.end - window.start, draft.events)
                return draft.finish(window.start)
            since, events = draft.oldest + 1, draft.events_before
            if is_too_much(window, since, events, draft.events - events, settled):
                self.span = span_for(window.end - since, events)
                return draft.finish(since)

    def _take(self, stretch: Stretch) -> Stretch:
        self.until = stretch.window.end
        self.settled = max(self.settled, min(stretch.settled, self.until))
        known = {**self.seen, **stretch.seen}
        self.seen = {key: at for key, at in known.items() if at[0] >= self.settled}
        return stretch


class _Draft:
    """A reading in the making, which takes events newest first. `known` are those seen before."""

    def __init__(self, window: Window, settled: int, known: Seen) -> None:
        self._window, self._settled, self._known = window, settled, known
        self.oldest = window.end
        """The second of the last event."""
        self.events = self.events_before = 0
        """Those in the window, of whatever type: all, and those from before the second `oldest` came up."""
        self._kept = 0
        self._mark = 0, 0
        """How many events were kept, in how many bytes, before it came up."""
        self._fresh: dict[str, int] = {}
        """By type, when the newest event was created that is new at the window's start."""
        self._seen: Seen = {}
        self._spool: IO[bytes] = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - it is read later

    def add(self, event: Json, types: Collection[str]) -> None:
        kind, created = event["type"], event["created"]
        if created != self.oldest:
            self.oldest, self.events_before = created, self.events
            self._mark = self._kept, self._spool.tell()
        self.events += created >= self._window.start
        if types and kind not in types:
            return
        _, before = self._known.get(event["id"], (created, self._window.end))
        if created >= self._settled:
            self._seen[event["id"]] = created, before
        if before > self._window.start:
            self._fresh.setdefault(kind, created)
        self._spool.write(b"%s %d %s\n" % (kind.encode(), before, orjson.dumps(event)))
        self._kept += 1

    def finish(self, start: int) -> Stretch:
        """All of it where `start` is the window's; else what came before the second `oldest`, of which some
        may be missing."""
        window = Window(start, self._window.end)
        seen, types = self._seen, frozenset(self._fresh)
        if start > self._window.start:
            self._kept, size = self._mark
            self._spool.seek(size)
            self._spool.truncate()
            seen = {key: at for key, at in seen.items() if at[0] >= start}
            types = frozenset(kind for kind, created in self._fresh.items() if created >= start)
        if not types:
            return Stretch(window, self._settled, seen=seen)
        reading = Reading(window, types, self._settled, self._kept, self._spool.tell(), self._spool)
        return Stretch(window, self._settled, reading, seen)


def type_params(types: Collection[str]) -> Params:
    return [("types[]", each) for each in sorted(types)] if len(types) <= MAX_TYPES else []
