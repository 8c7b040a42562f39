"""EventFeed: one reading of /v1/events per account and window, shared by every binding that follows the
account.

    |- overlap -|------ reading 1 ------|
                |- overlap -|--- reading 2 ---|            now - lag

A binding asks for what came after its own cursor. The first to ask for more than has been read makes the
reading, for the event types of all of them; the others get it from here. One whose cursor lies before what is
kept reads on its own, so that nobody waits for it and it holds up nobody.

Events may become visible late. Each reading therefore goes back over an overlap before its window and takes
in what it finds there for the first time. The events seen before are read along, since only together do they
tell which version of an object is the newest.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from tempfile import SpooledTemporaryFile
from typing import IO, Final

import orjson

from source_stripe_native.http import Json, Params
from source_stripe_native.listing import Source, range_params, read_pages
from source_stripe_native.models import EVENTS_PATH
from source_stripe_native.window import LAG, Window, floor, next_window

OVERLAP: Final = timedelta(minutes=10)
"""How late an event may become visible, beyond the lag, to be captured."""
MAX_TYPES: Final = 20
"""The most types that one request may name; beyond that all events are read."""
MAX_KEPT: Final = 16
"""Readings with events that are kept for an account at most: a binding further behind reads on its own."""
MAX_BYTES: Final = 100_000_000
"""The size of all readings that are kept, of all accounts together. The oldest are dropped beyond, even where
a binding has not read them yet; only the newest one is kept whatever its size."""
TOGETHER: Final = timedelta(hours=1)
"""How far apart bindings may be when they join to be read together from the first of them on."""
IN_MEMORY: Final = 1_000_000
"""Bytes of a reading beyond which it is kept on disk."""
LINES: Final = 100
"""Events of a reading that are parsed at once."""


@dataclass(frozen=True, eq=False)
class Reading:
    """The events of `window` and of the overlap before it, newest first, in `size` bytes. `types` are those
    of the events that are new to a binding at its start."""

    window: Window
    types: frozenset[str]
    spool: IO[bytes]
    size: int

    def lines(self, offset: int) -> tuple[list[bytes], int]:
        """Some lines from `offset` on, and the offset after them."""
        self.spool.seek(offset)
        lines = list(islice(self.spool, LINES))
        return lines, offset + sum(map(len, lines))


@dataclass(frozen=True)
class Events:
    """What came after a binding's cursor: the events of `window`, in one or more readings."""

    window: Window
    readings: Sequence[Reading]

    @property
    def types(self) -> frozenset[str]:
        return frozenset().union(*(each.types for each in self.readings))

    async def newest_first(self, types: Collection[str]) -> AsyncIterator[tuple[bool, Json]]:
        """The events of these types, and whether each is new to a binding that has come to the window's
        start. The others are older ones of the overlap."""
        wanted = {each.encode() for each in types}
        for reading in reversed(self.readings):
            offset = 0
            while True:
                lines, offset = reading.lines(offset)
                for line in lines:
                    kind, new_before, event = line.split(b" ", 2)
                    if kind in wanted or not wanted:
                        yield int(new_before) > self.window.start, orjson.loads(event)
                if not lines:
                    break


@dataclass
class _Account:
    """What is known of an account's events: all of them from `since` to `until`, kept where there are any."""

    since: int
    until: int
    joined: int = 0
    """The furthest cursor of a binding that has joined. Up to there others may have read before, in a capture
    that has ended, but not what has become visible since: whatever is seen is new to it."""
    readings: list[Reading] = field(default_factory=list)
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Events of the last overlap: when each was created, and before which cursor it is new to a binding: the
    end of the window in which it was first seen."""

    def after(self, start: int) -> list[Reading]:
        return [each for each in self.readings if each.window.end > start]


class EventFeed:
    """`types` are those that any open binding follows; empty where one of them wants all events, None where
    none follows events at all."""

    def __init__(self, types: Collection[str] | None, *, window_size: timedelta) -> None:
        self._types = None if types is None else frozenset(types)
        self.window_size = window_size
        self._accounts: dict[str | None, _Account] = {}
        self._locks: dict[str | None, asyncio.Lock] = {}
        self._starts: dict[str | None, int] = {}
        self._joined: dict[str | None, int] = {}
        self._kept: dict[Reading, _Account] = {}
        """The readings of all accounts, oldest first."""
        self._bytes = 0

    def join(self, account_id: str | None, cursor: datetime) -> None:
        """Says that a binding follows the account from `cursor` on, before anything of it is read."""
        start = floor(cursor)
        self._joined[account_id] = max(start, self._joined.get(account_id, start))
        known = self._starts.get(account_id, start)
        if abs(known - start) <= TOGETHER.total_seconds():
            self._starts[account_id] = min(known, start)
        else:
            self._starts[account_id] = max(known, start)

    def skip(self, account_id: str | None, until: int) -> None:
        """Gives up what is before `until`: it cannot be read any more."""
        while (account := self._accounts.get(account_id)) and account.readings:
            self._drop_oldest(account)
        self._accounts[account_id] = _Account(until, until)

    def begin(self, account_id: str | None) -> int | None:
        """From where on the bindings have joined to follow the account, None where none has."""
        return self._starts.get(account_id)

    def start(self, account_id: str | None) -> int | None:
        """From where on the account is to be read next, None where no binding has joined."""
        account = self._accounts.get(account_id)
        return account.until if account else self._starts.get(account_id)

    async def read(self, source: Source, cursor: datetime) -> Events | None:
        """The events of the source's account after `cursor`, None where none can be read yet."""
        async with self._locks.setdefault(source.account_id, asyncio.Lock()):
            return await self._read(source, floor(cursor))

    async def _read(self, source: Source, start: int) -> Events | None:
        account = self._accounts.get(source.account_id)
        since = account.since if account else self._starts.get(source.account_id, start)
        if start < since:
            return await self._read_alone(source, Window(start, account.until if account else since))
        if account is None:
            account = _Account(since, since, self._joined.get(source.account_id, start))
        # A binding may be ahead of what was read: what lies between is read for the others, who need it too.
        while account.until <= start:
            window = self._next_window(source, account.until)
            if window is None:
                return None
            reading = None if self._types is None else await _extend(source, account, window, self._types)
            account.until = window.end
            self._accounts[source.account_id] = account
            if reading is not None:
                self._keep(account, reading)
        return Events(Window(start, account.until), account.after(start))

    async def _read_alone(self, source: Source, missing: Window) -> Events | None:
        """What one binding lacks of what was read, so that it is at most as far as the others afterwards."""
        window = self._next_window(source, missing.start)
        if window is None:
            return None
        window = Window(window.start, min(window.end, missing.end))
        types = frozenset((*source.stream.EVENT_TYPES, *source.stream.PARENT_EVENT_TYPES))
        reading = await _extend(source, _Account(window.start, window.start), window, types)
        return Events(window, [] if reading is None else [reading])

    def _next_window(self, source: Source, start: int) -> Window | None:
        cursor = datetime.fromtimestamp(start, tz=UTC)
        return next_window(cursor, source.http.now(), lag=LAG, span=self.window_size)

    def _keep(self, account: _Account, reading: Reading) -> None:
        account.readings.append(reading)
        self._kept[reading] = account
        self._bytes += reading.size
        while len(account.readings) > MAX_KEPT:
            self._drop_oldest(account)
        # The binding that asked for it is still to get the newest one, however large it is.
        while self._bytes > MAX_BYTES and len(self._kept) > 1:
            self._drop_oldest(next(iter(self._kept.values())))

    def _drop_oldest(self, account: _Account) -> None:
        reading = account.readings.pop(0)
        account.since = reading.window.end
        del self._kept[reading]
        self._bytes -= reading.size


async def _extend(source: Source, account: _Account, window: Window, types: frozenset[str]) -> Reading | None:
    """Reads `window`, which begins where the account's last reading ends; None where nothing in it is new.
    Nothing of it is known before all of it is."""
    spool: IO[bytes] = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - readers may still be at it
    overlap = int(OVERLAP.total_seconds())
    seen, fresh, new_before = dict(account.seen), set[str](), max(window.end, account.joined + 1)
    params = [*range_params(Window(max(0, window.start - overlap), window.end)), *type_params(types)]
    async for page in read_pages(source, EVENTS_PATH, params):
        for event in page:
            kind = event["type"]
            if types and kind not in types:
                continue
            _, before = seen.setdefault(event["id"], (event["created"], new_before))
            if before > window.start:
                fresh.add(kind)
            spool.write(b"%s %d %s\n" % (kind.encode(), before, orjson.dumps(event)))
    account.seen = {key: at for key, at in seen.items() if at[0] >= window.end - overlap}
    return Reading(window, frozenset(fresh), spool, spool.tell()) if fresh else None


def type_params(types: Collection[str]) -> Params:
    return [("types[]", each) for each in sorted(types)] if len(types) <= MAX_TYPES else []
