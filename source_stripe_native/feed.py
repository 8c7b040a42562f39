"""EventFeed: one reading of /v1/events per account and window, shared by every binding that follows the
account.

    |------ reading 1 ------|--- reading 2 ---|            now - lag

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
from source_stripe_native.reading import Reader, Reading
from source_stripe_native.window import OVERLAP_SECONDS, TARGET, Window, floor

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
    """What came after a binding's cursor: the events of `window`, in one or more readings. `all_new` where
    the binding has come to the window's start in a capture that has ended. `more_types` are those of events
    of before, which may be new to bindings that are still to go on from there."""

    window: Window
    readings: Sequence[Reading]
    all_new: bool = False
    more_types: frozenset[str] = frozenset()

    @property
    def types(self) -> frozenset[str]:
        return self.more_types.union(*(each.types for each in self.readings))

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
                        yield self.all_new or int(new_before) > self.window.start, orjson.loads(event)
                if not lines:
                    break


@dataclass
class _Account:
    """What is known of an account's events: all of them since `begin`, or since what was dropped last, kept
    where there are any."""

    begin: int
    reader: Reader
    joined: Collection[int]
    """The cursors at which bindings have joined. Up to there each has read before, in a capture that has
    ended, but not what has become visible since: whatever is seen of the overlap is new to it."""
    dropped: int | None = None
    readings: list[Reading] = field(default_factory=list)
    types: frozenset[str] = frozenset()
    """Those of all events that were ever read."""

    def keep(self, reading: Reading) -> None:
        self.readings.append(reading)
        self.types |= reading.types

    def drop_oldest(self) -> Reading:
        reading = self.readings.pop(0)
        self.dropped = reading.window.end
        return reading

    def has_after(self, start: int) -> bool:
        """Whether all that a binding at `start` needs is kept."""
        if self.dropped is None:
            return start >= self.begin
        return start - (OVERLAP_SECONDS if start in self.joined else 0) >= self.dropped

    def can_be_joined(self, start: int) -> bool:
        """Whether a binding that has read on its own up to `start` may go on with what is kept. It may have
        seen newer versions than a reading of before knew of, unless nothing was to be expected any more."""
        since = self.begin if self.dropped is None else self.dropped
        return start >= since and all(start <= each.settled for each in self._after(start)[:1])

    def events_after(self, start: int) -> Events:
        """What came after `start`, as much of it as makes a checkpoint: all the readings that are left may be
        too many for that."""
        all_new = start in self.joined
        taken, events, end = list[Reading](), 0, self.reader.until
        for each in self._after(start - OVERLAP_SECONDS if all_new else start):
            events += each.events
            if taken and each.window.start > start and events > AT_ONCE:
                end = each.window.start
                break
            taken.append(each)
        is_joined = any(start <= each < end for each in self.joined)
        return Events(Window(start, end), taken, all_new, self.types if is_joined else frozenset())

    def _after(self, start: int) -> list[Reading]:
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
        self._joined: dict[str | None, set[int]] = {}
        self._alone: dict[tuple[str | None, str], Reader] = {}
        """Of the bindings that read on their own, by account and stream."""
        self._kept: dict[Reading, _Account] = {}
        """The readings of all accounts, oldest first."""
        self._bytes = 0

    def join(self, account_id: str | None, cursor: datetime) -> None:
        """Says that a binding follows the account from `cursor` on, before anything of it is read."""
        start = floor(cursor)
        self._joined.setdefault(account_id, set()).add(start)
        known = self._starts.get(account_id, start)
        if abs(known - start) <= TOGETHER.total_seconds():
            self._starts[account_id] = min(known, start)
        else:
            self._starts[account_id] = max(known, start)

    def skip(self, account_id: str | None, until: int) -> None:
        """Gives up what is before `until`: it cannot be read any more."""
        while (account := self._accounts.get(account_id)) and account.readings:
            self._drop_oldest(account)
        self._accounts[account_id] = self._account(account_id, until)

    def begin(self, account_id: str | None) -> int | None:
        """From where on the bindings have joined to follow the account, None where none has."""
        return self._starts.get(account_id)

    def start(self, account_id: str | None) -> int | None:
        """From where on the account is to be read next, None where no binding has joined."""
        account = self._accounts.get(account_id)
        return account.reader.until if account else self._starts.get(account_id)

    async def read(self, source: Source, cursor: datetime) -> Events | None:
        """The events of the source's account after `cursor`, None where none can be read yet."""
        async with self._locks.setdefault(source.account_id, asyncio.Lock()):
            return await self._read(source, floor(cursor))

    async def _read(self, source: Source, start: int) -> Events | None:
        account = self._accounts.get(source.account_id)
        if account is None:
            account = self._account(source.account_id, self._starts.get(source.account_id, start))
        if self._is_alone(source, start) and not account.can_be_joined(start):
            return await self._read_alone(source, start, account.reader.until)
        self._alone.pop((source.account_id, source.stream.NAME), None)
        # A binding may be ahead of what was read: what lies between is read for the others, who need it too.
        while account.reader.until <= start:
            read = await account.reader.read_on(source, self._types, self.window_size)
            if read is None:
                return None
            self._accounts[source.account_id] = account
            if read.reading is not None:
                self._keep(account, read.reading)
        if not account.has_after(start):
            return await self._read_alone(source, start, account.reader.until)
        return account.events_after(start)

    async def _read_alone(self, source: Source, start: int, at_most: int) -> Events | None:
        """What one binding lacks of what was read, so that it is at most as far as the others afterwards."""
        key = source.account_id, source.stream.NAME
        if not self._is_alone(source, start):
            self._alone[key] = self._reader(start)
        types = frozenset((*source.stream.EVENT_TYPES, *source.stream.PARENT_EVENT_TYPES))
        read = await self._alone[key].read_on(source, types, self.window_size, at_most)
        if read is None:
            return None
        return Events(read.window, [] if read.reading is None else [read.reading])

    def _is_alone(self, source: Source, start: int) -> bool:
        """Whether the binding has read on its own up to `start`."""
        reader = self._alone.get((source.account_id, source.stream.NAME))
        return reader is not None and reader.until == start

    def _account(self, account_id: str | None, begin: int) -> _Account:
        return _Account(begin, self._reader(begin), self._joined.setdefault(account_id, set()))

    def _reader(self, start: int) -> Reader:
        return Reader(start, int(self.window_size.total_seconds()))

    def _keep(self, account: _Account, reading: Reading) -> None:
        account.keep(reading)
        self._kept[reading] = account
        self._bytes += reading.size
        # The binding that asked for it is still to get the newest one, however large it is.
        while len(self._kept) > 1:
            oldest = next(iter(self._kept))
            if self._bytes <= MAX_BYTES and reading.settled - oldest.settled <= KEPT.total_seconds():
                return
            self._drop_oldest(self._kept[oldest])

    def _drop_oldest(self, account: _Account) -> None:
        reading = account.drop_oldest()
        del self._kept[reading]
        self._bytes -= reading.size
