"""EventFeed: one reading of /v1/events per account and window, shared by every binding that follows the
account.

    |- overlap -|------ reading 1 ------|
                |- overlap -|--- reading 2 ---|            now - lag

A binding asks for what came after its own cursor. The first to ask for more than has been read makes the
reading, for the event types of all of them; the others get it from here. One whose cursor lies before what is
kept reads on its own, so that nobody waits for it and it holds up nobody.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import orjson

from source_stripe_native.http import Json
from source_stripe_native.listing import Source
from source_stripe_native.reading import Progress, Reading
from source_stripe_native.window import TARGET, Window, floor

KEPT: Final = timedelta(hours=1)
"""How long readings are kept at most: a binding further behind reads on its own."""
MAX_BYTES: Final = 100_000_000
"""The size of all readings that are kept, of all accounts together. The oldest are dropped beyond, even where
a binding has not read them yet; only the newest one is kept whatever its size."""
AT_ONCE: Final = 2 * TARGET
"""Events that a binding which is behind is given at once, if they are of more than one reading."""
TOGETHER: Final = timedelta(hours=1)
"""How far apart bindings may be when they join to be read together from the first of them on."""


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
    """What is known of an account's events: all of them from `since` on, kept where there are any."""

    since: int
    progress: Progress
    readings: list[Reading] = field(default_factory=list)

    def after(self, start: int) -> list[Reading]:
        return [each for each in self.readings if each.window.end > start]

    def events_after(self, start: int) -> Events:
        """What came after `start`, as much of it as makes a checkpoint: all the readings that are left may be
        too many for that."""
        taken, events = list[Reading](), 0
        for each in self.after(start):
            events += each.events
            if taken and events > AT_ONCE:
                return Events(Window(start, each.window.start), taken)
            taken.append(each)
        return Events(Window(start, self.progress.until), taken)

    def can_be_joined(self, start: int) -> bool:
        """Whether a binding that has read on its own up to `start` may go on with what is kept. It may have
        seen newer versions than a reading of before knew of, unless nothing was to be expected any more."""
        return all(start <= each.settled for each in self.after(start)[:1])


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
        self._alone: dict[tuple[str | None, str], Progress] = {}
        """Of the bindings that read on their own, by account and stream."""
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
        self._accounts[account_id] = _Account(until, self._progress(until))

    def begin(self, account_id: str | None) -> int | None:
        """From where on the bindings have joined to follow the account, None where none has."""
        return self._starts.get(account_id)

    def start(self, account_id: str | None) -> int | None:
        """From where on the account is to be read next, None where no binding has joined."""
        account = self._accounts.get(account_id)
        return account.progress.until if account else self._starts.get(account_id)

    async def read(self, source: Source, cursor: datetime) -> Events | None:
        """The events of the source's account after `cursor`, None where none can be read yet."""
        async with self._locks.setdefault(source.account_id, asyncio.Lock()):
            return await self._read(source, floor(cursor))

    async def _read(self, source: Source, start: int) -> Events | None:
        account = self._accounts.get(source.account_id)
        since = account.since if account else self._starts.get(source.account_id, start)
        is_alone = self._is_alone(source, start) and account and not account.can_be_joined(start)
        if start < since or is_alone:
            return await self._read_alone(source, start, account.progress.until if account else since)
        self._alone.pop((source.account_id, source.stream.NAME), None)
        if account is None:
            account = _Account(since, self._progress(since, self._joined.get(source.account_id, start)))
        # A binding may be ahead of what was read: what lies between is read for the others, who need it too.
        while account.progress.until <= start:
            read = await account.progress.read_on(source, self._types, self.window_size)
            if read is None:
                return None
            self._accounts[source.account_id] = account
            if read.reading is not None:
                self._keep(account, read.reading)
        return account.events_after(start)

    async def _read_alone(self, source: Source, start: int, at_most: int) -> Events | None:
        """What one binding lacks of what was read, so that it is at most as far as the others afterwards."""
        key = source.account_id, source.stream.NAME
        if not self._is_alone(source, start):
            self._alone[key] = self._progress(start)
        types = frozenset((*source.stream.EVENT_TYPES, *source.stream.PARENT_EVENT_TYPES))
        read = await self._alone[key].read_on(source, types, self.window_size, at_most)
        if read is None:
            return None
        return Events(read.window, [] if read.reading is None else [read.reading])

    def _is_alone(self, source: Source, start: int) -> bool:
        """Whether the binding has read on its own up to `start`."""
        progress = self._alone.get((source.account_id, source.stream.NAME))
        return progress is not None and progress.until == start

    def _progress(self, start: int, joined: int = 0) -> Progress:
        return Progress(start, int(self.window_size.total_seconds()), joined)

    def _keep(self, account: _Account, reading: Reading) -> None:
        account.readings.append(reading)
        self._kept[reading] = account
        self._bytes += reading.size
        # The binding that asked for it is still to get the newest one, however large it is.
        while len(self._kept) > 1:
            oldest = next(iter(self._kept))
            if self._bytes <= MAX_BYTES and reading.settled - oldest.settled <= KEPT.total_seconds():
                return
            self._drop_oldest(self._kept[oldest])

    def _drop_oldest(self, account: _Account) -> None:
        reading = account.readings.pop(0)
        account.since = reading.window.end
        del self._kept[reading]
        self._bytes -= reading.size
