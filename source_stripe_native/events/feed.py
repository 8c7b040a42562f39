"""EventFeed: one reading of /v1/events per account and window, shared by all bindings of the account.

    |------ batch 1 ------|---- batch 2 ----|            now - lag

A binding asks for the events after its own cursor. The first binding to ask for more than has been read makes
the reading, for the event types of all bindings; the others get the result from here. A binding whose cursor
lies before the kept batches reads on its own: nobody waits for it, and it waits for nobody.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import orjson

from source_stripe_native.events.event_log import EventBatch, LogReader, Seen, read_newest
from source_stripe_native.events.subjects import CapturedEarly
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.state.cursors import Seconds
from source_stripe_native.state.windows import Window, floor
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.pages import Source
from source_stripe_native.stripe.rate_limit import Priority
from source_stripe_native.stripe.readings import Readings


@dataclass(frozen=True)
class WindowEvents:
    """What came after a binding's cursor: the events of `window`, in one or more batches.

    `restored` says that the binding's cursor comes from an earlier process, so that every event of the
    overlap may be new to it. `types` are those of the events that are new to the binding, and of earlier ones
    that may be new to other bindings whose restored cursors lie in the window.

    What the binding captured `early` is not new, nor is what comes after the window in `later`, which an
    earlier process may have captured early. Where the events are read early themselves, `found` is filled
    with what is captured of them, and what windows before the cursor have `seen` is not new."""

    window: Window
    batches: Sequence[EventBatch]
    restored: bool = False
    types: frozenset[str] = frozenset()
    early: CapturedEarly = field(default_factory=CapturedEarly)
    found: CapturedEarly | None = None
    later: EventBatch | None = None
    seen: Seen = field(default_factory=dict)

    async def newest_first(
        self, types: Collection[str], count: Callable[[int], None] = lambda _: None
    ) -> AsyncIterator[tuple[bool, Json]]:
        """The events of `types` (all where empty), each with whether it is new to a binding whose cursor is
        the window's start. The others are older events of the overlap. Where `types` are given, events have
        their types by today's names. `count` is called with the bytes of each."""
        wanted = {kind.encode() for kind in types}
        for batch in [*([self.later] if self.later else []), *reversed(self.batches)]:
            for line in batch.lines():
                kind, new_before, body = line.split(b" ", 2)
                if kind in wanted or not wanted:
                    count(len(body))
                    event: Json = orjson.loads(body)
                    if batch is self.later and event["created"] < self.window.end:
                        break
                    if wanted and event["type"] != (name := kind.decode()):
                        # In a version that called it otherwise: of what it carries only the id counts.
                        event |= {"type": name, "api_version": None}
                    is_new = self.restored or int(new_before) > self.window.start
                    is_new = is_new and batch is not self.later and event["id"] not in self.early.events
                    _, seen_before = self.seen.get(event["id"], (0, self.window.end))
                    is_new = is_new and seen_before > self.window.start
                    if is_new and self.found is not None:
                        self.found.events[event["id"]] = event["created"]
                    yield is_new, event


@dataclass(slots=True)
class _Account:
    """An account's kept events: all since `kept_since`."""

    kept_since: int
    reader: LogReader
    is_cut: bool = False
    """Whether batches were dropped, so that nothing of the overlap before is kept."""
    batches: list[EventBatch] = field(default_factory=list)
    types: frozenset[str] = frozenset()
    """The types of all events that were ever read."""
    newest: EventBatch | None = None
    """What was read early, after the last notice."""
    newest_read: dict[str, int] = field(default_factory=dict)
    """When the events were created that were read early, by id."""

    def has_after(self, start: int, restored: Collection[int]) -> bool:
        """Whether everything that a binding at `start` needs is kept, some cursors being `restored` ones."""
        is_new = self.is_cut and start in restored
        return start - (self.reader.settings.restored_overlap if is_new else 0) >= self.kept_since

    def can_be_shared(self, start: int) -> bool:
        """Whether a binding that has read on its own up to `start` may go on with the kept batches. The
        binding may have seen newer versions than an earlier batch has, unless the batch lies after the low
        watermark of its reading."""
        next_ones = self._after(start)[:1]
        return start >= self.kept_since and all(start <= batch.low_watermark for batch in next_ones)

    def events_after(self, start: int, cursors: Collection[int]) -> WindowEvents:
        """The events after `start`, as many of them as make a checkpoint: all remaining batches may be too
        many. `cursors` are those that are restored."""
        settings, restored = self.reader.settings, start in cursors
        taken, events, end = list[EventBatch](), 0, self.reader.high_watermark
        for batch in self._after(start - settings.restored_overlap if restored else start):
            events += batch.events
            if taken and batch.window.start > start and events > 2 * settings.target:
                end = batch.window.start
                break
            taken.append(batch)
        others = any(start <= cursor < end for cursor in cursors)
        types = self.types if others else frozenset[str]().union(*(batch.types for batch in taken))
        return WindowEvents(Window(start, end), taken, restored, types, later=self.reader.later)

    def _after(self, start: int) -> list[EventBatch]:
        return [batch for batch in self.batches if batch.window.end > start]


class EventFeed:
    """`types` are those that any open binding follows; empty where a binding follows all events, None where
    no binding follows events at all."""

    def __init__(
        self, types: Collection[str] | None, *, window_size: timedelta, settings: Settings = DEFAULTS
    ) -> None:
        self._types = None if types is None else frozenset(types)
        self._settings = settings
        self.window_size = window_size
        self._accounts: dict[str | None, _Account] = {}
        self._readings = Readings[bool]()
        self._subscribed: list[Seconds | dict[str | None, int]] = []
        """The cursors with which bindings subscribed, each as whole seconds by account."""
        self._common_cursor: int | None = None
        self._own_readers: dict[tuple[str, str | None], LogReader] = {}
        """Of the bindings that read on their own, by stream and account."""
        self.is_early = False
        """Whether events are read early."""
        self.on_found: Callable[[str, Mapping[str, tuple[int, str]]], None] | None = None
        """Called with an account's events that a window shows for the first time: when each was created, and
        its type, by id."""
        self.delays = deque[float](maxlen=100)
        """The age in seconds of the last events that were read early, when they were read."""
        self._early: dict[tuple[str, str | None], CapturedEarly] = {}
        """What the bindings captured early, by stream and account."""
        self._kept: dict[EventBatch, _Account] = {}
        """The batches of all accounts, oldest first."""
        self._bytes = 0

    def subscribe(self, cursors: Seconds | dict[str | None, int] | int) -> None:
        """Subscribes a binding at the cursor of each account, or at one for all, before any of them is
        read."""
        if isinstance(cursors, int):
            self._common_cursor = cursors
        elif cursors not in self._subscribed:
            self._subscribed.append(cursors)

    def skip(self, account_id: str | None, to: int) -> None:
        """Gives up the events before `to`, which Stripe no longer keeps."""
        while (account := self._accounts.get(account_id)) and account.batches:
            self._drop_oldest(account)
        self._accounts[account_id] = _Account(to, self._reader(to, self._types))

    def first_cursor(self, account_id: str | None) -> int | None:
        """The cursor from which the account is first read, None where nobody has subscribed."""
        restored, common = self._restored(account_id), self._common_cursor
        if not restored:
            return common
        spread = self._settings.subscription_spread.total_seconds()
        newest = max(restored)
        first = min(cursor for cursor in restored if newest - cursor <= spread)
        return first if common is None or first - common > spread else min(first, common)

    def _restored(self, account_id: str | None) -> set[int]:
        """The cursors from earlier processes. Up to its cursor such a binding has read before, but not what
        has become visible since: every event of the overlap is new to it."""
        return {at for cursors in self._subscribed if (at := cursors.get(account_id))}

    def high_watermark(self, account_id: str | None) -> int | None:
        """The second from which the account is read next, None where nobody has subscribed."""
        account = self._accounts.get(account_id)
        return account.reader.high_watermark if account else self.first_cursor(account_id)

    async def read(self, source: Source, cursor: datetime) -> WindowEvents | None:
        """The events of the source's account after `cursor`, None where none can be read yet."""
        start = floor(cursor)
        events = await self._read_shared(source, start)
        high_watermark = self.high_watermark(source.account_id)
        if events is None and high_watermark is not None and start < high_watermark:
            # A binding that is behind holds nobody up.
            events = await self._read_alone(source, start, high_watermark)
        if events is None:
            await source.http.refresh_clock(source.log)
            return None
        return replace(events, early=self.captured_early(source))

    async def read_newest(self, source: Source) -> frozenset[str]:
        """Reads the newest events of the source's account, up to now, and keeps them for `newest`. The high
        watermark stays where it is. Returns the types of the events that were not read before."""
        settings, high_watermark = self._settings, self.high_watermark(source.account_id)
        if self._types is None or high_watermark is None:
            return frozenset()
        now, account = floor(source.http.now()), self._known(source, high_watermark)
        last = max(account.newest_read.values(), default=0) - int(settings.lag.total_seconds())
        reach = int(settings.early_reach.total_seconds())
        # Stripe's clock may be a little ahead of what its answers have shown.
        window = Window(min(now, max(high_watermark, last, now - reach)), now + reach)
        batch = await read_newest(replace(source, priority=Priority.EVENTS), self._types, window, settings)
        read, known = batch.first_shown(), account.newest_read
        new = {event_id: (at, kind) for event_id, (at, kind) in read.items() if event_id not in known}
        if new:
            account.newest = batch
            read_time = source.http.now().timestamp()
            self.delays += [read_time - at for at, _ in new.values()]
        kept = {event_id: at for event_id, at in known.items() if at >= window.start}
        account.newest_read = kept | {event_id: at for event_id, (at, _) in read.items()}
        return frozenset(kind for _, kind in new.values())

    def has_read(self, account_id: str, event_id: str) -> bool:
        """Whether an event was read by this process, as far as that is remembered."""
        account = self._accounts.get(account_id)
        return account is not None and (event_id in account.newest_read or event_id in account.reader.seen)

    def has_passed(self, account_id: str, event_id: str, created: float) -> bool:
        """Whether an event was read in a window, or was created so long ago that windows have passed it."""
        account = self._accounts.get(account_id)
        return account is not None and (
            created < account.reader.low_watermark or event_id in account.reader.seen
        )

    def newest(self, source: Source, cursor: datetime) -> WindowEvents | None:
        """What `read_newest` has read, for a binding at `cursor`. None where there is nothing, and where the
        binding has captured so much early that its cursor has to catch up first."""
        account, captured = self._accounts.get(source.account_id), self.captured_early(source)
        batch, start = account.newest if account else None, floor(cursor)
        is_full = sum(at >= start for at in captured.events.values()) >= self._settings.early_events
        if batch is None or is_full or batch.window.end <= start:
            return None
        window, seen = Window(start, batch.window.end), account.reader.seen if account else {}
        return WindowEvents(window, [batch], early=captured, found=CapturedEarly(), seen=seen)

    def captured_early(self, source: Source) -> CapturedEarly:
        """What the binding captured early, as far as its cursor has not passed it."""
        return self._early.get(source.key) or CapturedEarly()

    def add_early(self, source: Source, found: CapturedEarly) -> None:
        """Records what a binding captured early. To be called after the checkpoint of its documents."""
        captured = self._early.setdefault(source.key, CapturedEarly())
        captured.events |= found.events
        captured.subjects |= found.subjects

    def forget_early(self, source: Source, second: int) -> None:
        """Forgets what the binding captured early, and the overlap before its cursor at `second` has passed:
        an event that became visible while its window was read is found in the overlap."""
        if (captured := self._early.get(source.key)) is not None:
            start = second - self._settings.restored_overlap
            captured.events = {event: at for event, at in captured.events.items() if at >= start}
            captured.subjects = captured.after(start)
            if not captured.events:
                del self._early[source.key]

    async def _read_shared(self, source: Source, start: int) -> WindowEvents | None:
        """What is shared of the account after `start`, None where nothing is due, or where the binding has to
        read it alone."""
        account, shared = self._known(source, start), replace(source, priority=Priority.EVENTS)
        if self._reads_alone(source, start) and not account.can_be_shared(start):
            return None
        self._own_readers.pop(source.key, None)
        # A binding may be ahead of what was read: what lies between is read for the others, who need it too.
        while account.reader.high_watermark <= start:
            if not await shared.shared(self._readings, source.account_id, self._advance):
                return None
            account = self._accounts[source.account_id]
        restored = self._restored(source.account_id)
        return account.events_after(start, restored) if account.has_after(start, restored) else None

    def _known(self, source: Source, start: int) -> _Account:
        """The account, which is read from `start` on where nobody has subscribed."""
        if (account := self._accounts.get(source.account_id)) is None:
            first = self.first_cursor(source.account_id)
            first = start if first is None else first
            account = self._accounts[source.account_id] = _Account(first, self._reader(first, self._types))
        return account

    async def _advance(self, source: Source) -> bool:
        """Reads the next window of the account. Returns whether one was due."""
        account = self._accounts[source.account_id]
        batch = await account.reader.read_next(source)
        if batch is None:
            return False
        if batch.types:
            self._keep(account, batch)
        if self.on_found is not None and source.account_id is not None:
            self.on_found(source.account_id, batch.first_shown())
        if account.newest is not None and account.newest.window.end <= batch.window.end:
            account.newest, account.newest_read = None, {}
        return True

    async def _read_alone(self, source: Source, start: int, at_most: int) -> WindowEvents | None:
        """What one binding lacks of what was read, so that it is as far as the others at most afterwards."""
        if not self._reads_alone(source, start):
            types = source.stream.all_event_types()
            self._own_readers[source.key] = self._reader(start, types, is_alone=True)
        reader = self._own_readers[source.key]
        if (batch := await reader.read_next(source, at_most)) is None:
            return None
        return WindowEvents(batch.window, [batch], types=batch.types, later=reader.later)

    def _reads_alone(self, source: Source, start: int) -> bool:
        """Whether the binding has read on its own up to `start`."""
        reader = self._own_readers.get(source.key)
        return reader is not None and reader.high_watermark == start

    def _reader(self, start: int, types: Collection[str] | None, *, is_alone: bool = False) -> LogReader:
        longest, settings = self.window_size, self._settings
        return LogReader(start, types, longest, settings, is_alone, self._has_room_ahead, self.is_early)

    def _has_room_ahead(self, size: int) -> bool:
        """Whether the newest part of a window may be kept for later. It is read again where it is not."""
        readers = (*(account.reader for account in self._accounts.values()), *self._own_readers.values())
        kept = sum(batch.size for reader in readers for batch, _ in reader.ahead)
        return size + kept <= self._settings.batch_bytes

    def _keep(self, account: _Account, batch: EventBatch) -> None:
        account.batches.append(batch)
        account.types |= batch.types
        self._kept[batch], settings = account, self._settings
        self._bytes += batch.size
        # The binding that asked for it has yet to get the newest batch, however large it is.
        while len(self._kept) > 1:
            oldest = next(iter(self._kept))
            is_recent = batch.low_watermark - oldest.low_watermark <= settings.batch_retention.total_seconds()
            if is_recent and self._bytes <= settings.batch_bytes:
                return
            self._drop_oldest(self._kept[oldest])

    def _drop_oldest(self, account: _Account) -> None:
        batch = account.batches.pop(0)
        account.kept_since, account.is_cut = batch.window.end, True
        del self._kept[batch]
        self._bytes -= batch.size
