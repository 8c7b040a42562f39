"""The fetch functions that the CDK and the scheduler drive: one backfill and one incremental for every
stream.

A backfill lists what was created from `start_date` to its cutoff, one page a call. The incremental task
starts at the same cutoff:

    start_date                         cutoff                                 now
        |---- backfill: the list ----|s|---- incremental: window after window ----|

The second `s` of the cutoff is read by both. An object that changes while a backfill runs has an event after
the cutoff: its last state arrives by the incremental task, wherever the backfill's pages were at that time.

The incremental task reads a window in up to four ways, as the stream's row says: the events of the window,
the list for what was created in the window, once a day the list of a longer past, and from time to time the
whole list.
"""

import math
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from logging import Logger

from estuary_cdk.capture.common import LogCursor, PageCursor, Triggers

from source_stripe_native.backfill.steps import Backfill
from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.config import DEFAULT_WINDOW
from source_stripe_native.errors import EVENTS_AGED_OUT, StripeError
from source_stripe_native.events import due_days
from source_stripe_native.events.feed import EventFeed, WindowEvents
from source_stripe_native.events.list_feed import ListReader, PolledLists
from source_stripe_native.events.resolutions import read_again, read_changes
from source_stripe_native.events.snapshots import read_snapshot, unsettled
from source_stripe_native.events.subjects import Kind, Subject
from source_stripe_native.flow.byte_budget import Reservation
from source_stripe_native.flow.output import Commit
from source_stripe_native.scheduling.account_changes import AccountChanges
from source_stripe_native.state.parts import cursor_time
from source_stripe_native.state.remembered_lists import Listed
from source_stripe_native.state.windows import Window, floor, is_past_retention, next_window
from source_stripe_native.streams.products import Prices
from source_stripe_native.streams.row import BaseStripeObject, Document
from source_stripe_native.stripe.client import Json, StripeSession
from source_stripe_native.stripe.pages import Source


def fetch_backfill(
    cls: type[BaseStripeObject],
    start_date: datetime,
    platform_account_id: str | None,
    connected_account_id: str | None,
    http: StripeSession,
    log: Logger,
    page: PageCursor | None,
    cutoff: LogCursor,
) -> AsyncGenerator[Document | str, None]:
    """One page of the stream's objects created between `start_date` and `cutoff`, newest first, then the
    cursor of the next page unless it was the last. Without a `connected_account_id` the key's own account is
    the only one."""
    source = source_of(cls, platform_account_id, connected_account_id, http, log)
    return Backfill(source, floor(start_date), cls.list_params()).fetch(log, page, cutoff)


def fetch_backfill_prices(
    cls: type[Prices],
    start_date: datetime,
    platform_account_id: str | None,
    connected_account_id: str | None,
    active: bool,
    http: StripeSession,
    log: Logger,
    page: PageCursor | None,
    cutoff: LogCursor,
) -> AsyncGenerator[Document | str, None]:
    """`fetch_backfill` of one half of the prices: the active or the archived ones.

    For callers from outside: the connector itself uses `fetch_backfill` with the row's variants."""
    source = source_of(cls, platform_account_id, connected_account_id, http, log)
    params = list(cls.VARIANTS["_active" if active else "_inactive"].items())
    return Backfill(source, floor(start_date), params).fetch(log, page, cutoff)


def fetch_incremental(
    cls: type[BaseStripeObject],
    platform_account_id: str | None,
    connected_account_id: str | None,
    http: StripeSession,
    log: Logger,
    log_cursor: LogCursor,
) -> AsyncGenerator[Document | Commit | datetime | Triggers, None]:
    """What changed in the next window after `log_cursor`, then the window's end as the new cursor. Nothing
    where no window is due. Where the cursor is older than Stripe keeps events, or nearly so, asks for a new
    backfill instead."""
    source = source_of(cls, platform_account_id, connected_account_id, http, log)
    feed = EventFeed(cls.all_event_types(), window_size=DEFAULT_WINDOW, settings=http.settings)
    return Changes(source, feed).fetch(log, log_cursor)


@dataclass(frozen=True)
class Changes:
    """The changes of a stream and account. Made by a binding, and read window by window by the loops.

    A window's bytes are reserved from before it is read, but after its events, until after the caller's
    checkpoint."""

    source: Source
    feed: EventFeed
    """The events, shared by the bindings of a capture."""
    not_before: int = 0
    """A backfill has seen the events from before this second, its cutoff."""
    superseded: SupersededIds = field(default_factory=SupersededIds)
    """Where what is captured is recorded for the backfill."""
    polled: PolledLists = field(default_factory=PolledLists)
    """What is remembered of lists from window to window."""
    since: int = 0
    """The capture's start date, in Unix seconds: no overlap of a list reaches further back, and no compared
    list captures what was created before."""
    account_changes: AccountChanges | None = None
    """Of a list of accounts, which of them have changed."""
    commits: bool = False
    """Whether long windows and lists are divided by items that ask for a checkpoint in between, which only
    the connector's own loops know."""

    async def fetch(
        self, log: Logger, log_cursor: LogCursor
    ) -> AsyncGenerator[Document | Commit | datetime | Triggers, None]:
        """The documents of the next window after `log_cursor`, then its end as the new cursor."""
        cursor = cursor_time(log_cursor)
        source, polled = replace(self.source, log=log), self.polled
        cls, http = source.stream, source.http

        def backfill_again(reason: str) -> Triggers:
            about = {"stream": cls.NAME, "account": source.account_id, "cursor": cursor}
            log.warning(f"{reason}: changes may be missing, so it is backfilled again", about)
            return Triggers.BACKFILL

        margin = http.settings.retention_margin
        if (cls.follows_events() or cls.THIN_EVENTS) and is_past_retention(cursor, http.now(), margin):
            yield backfill_again("the cursor is older than Stripe keeps events, or nearly so")
            return
        try:
            due, events = await self._next_window(source, cursor)
            if due is None:
                return
            with await http.change_budget.reserve(cls.NAME, http.settings.window_bytes) as held:
                source = replace(source, reservation=held)
                reader = ListReader(source, polled.recall(source, floor(cursor)), self.since, polled.shared)
                window = due if events is not None else await reader.fit(due)
                if events is not None and is_past_retention(cursor, http.now()):
                    held.release()
                    yield backfill_again("events may have aged out before they were read")
                    return
                reading = _WindowReading(self, source, window)
                async with aclosing(reading.items(held, events, reader)) as items:
                    # The checkpoint may take long, and the batches are not needed for it.
                    del events
                    async for item in items:
                        yield item
                if cls.POLLS:
                    polled.keep(source, reader.memory_after(window))
                await reading.leave()
                held.commit()
                yield window.end_at
                held.release()
                await reading.end()
                self.feed.forget_early(source, window.end)
        except StripeError as error:
            if not EVENTS_AGED_OUT.matches(error):
                raise
            yield backfill_again("events aged out while they were read")

    async def fetch_early(
        self, log: Logger, log_cursor: LogCursor
    ) -> AsyncGenerator[Document | Commit, None]:
        """The documents of the newest events, which were read after a notice, each step with a `Commit` after
        it. The cursor stays where it is: lists, and what was postponed, are read when it moves."""
        source, cls, http = replace(self.source, log=log), self.source.stream, self.source.http
        events = None
        if self.account_changes is None:
            events = self.feed.newest(source, cursor_time(log_cursor))
            if events is None:
                return
        with await http.change_budget.reserve(cls.NAME, http.settings.window_bytes) as held:
            source = replace(source, reservation=held)
            reading = _WindowReading(self, source, events.window if events else Window(0, 0))
            async with aclosing(reading.items(held, events)) as items:
                async for item in items:
                    yield item
            held.release()
            if events is not None and events.found is not None:
                self.feed.add_early(source, events.found)
            await reading.end()

    async def _next_window(
        self, source: Source, cursor: datetime
    ) -> tuple[Window | None, WindowEvents | None]:
        """The window that is due after `cursor`, None where none is, and its events where the stream reads
        events itself."""
        feed, accounts = self.feed, self.account_changes
        if source.stream.follows_events() and accounts is None:
            # What is read for all bindings is kept by the feed, and counts for none of them.
            events = await feed.read(source, cursor)
            return (events.window, events) if events else (None, None)
        if accounts is not None:
            await accounts.wait(floor(cursor))
        due = next_window(cursor, source.http.now(), lag=source.settings.lag, span=feed.window_size)
        if due is not None and accounts is not None:
            due = accounts.limit(due)
        if due is None:
            await source.http.refresh_clock(source.log)
            return None, None
        # Up to where the account's events were read: streams that share a list then read the same window.
        if due.start < (read := feed.high_watermark(source.account_id) or 0) < due.end:
            due = Window(due.start, read)
        return due, None


@dataclass
class _WindowReading:
    """The reading of one window of a stream's changes. Made by `Changes`."""

    changes: Changes
    source: Source
    window: Window
    written: set[str] = field(default_factory=set)
    """What was captured of it, but for compared lists."""
    unsettled: dict[str, Listed] = field(default_factory=dict)
    """What is to be remembered of the documents since the last commit."""
    read_later: list[str] = field(default_factory=list)
    """What had been postponed and is read in this window."""

    async def items(
        self, held: Reservation, events: WindowEvents | None, reader: ListReader | None = None
    ) -> AsyncGenerator[Document | Commit, None]:
        """The documents of the window, and a commit after each step of them. What is read early has no
        `reader`, and no cursor comes after it: there is a commit after the last document, too."""
        async for item in self._steps(events, reader):
            if not isinstance(item, Commit):
                self.changes.superseded.add(self.source.key, self.source.stream.identity(item))
                yield item
            elif self.changes.commits:
                held.commit()
                yield item
                await held.renew()

    async def leave(self) -> None:
        """Has the state name the changed accounts that were not captured, before the cursor passes them."""
        accounts, postponed = self.changes.account_changes, self.source.postponed
        if accounts is not None and postponed is not None:
            left = {str(Subject(Kind.OBJECT, account_id)) for account_id in accounts.left(self.written)}
            await postponed.keep(self.source.account_id, left)
            self.read_later = [subject for subject in self.read_later if subject not in left]

    async def end(self) -> None:
        """Ends the window, of which all documents have been checkpointed."""
        if self.source.postponed is not None and self.read_later:
            await self.source.postponed.remove(self.source.account_id, self.read_later)
        if self.changes.account_changes is not None:
            self.changes.account_changes.release(self.written)

    async def _steps(
        self, events: WindowEvents | None, reader: ListReader | None
    ) -> AsyncGenerator[Document | Commit, None]:
        source, stream, memories = self.source, self.source.stream, self.changes.polled.memories
        uncommitted = 0
        async for document in self._documents(events, reader):
            yield document
            uncommitted += 1
            if stream.SNAPSHOTS and document["_meta"]["op"] != "d":
                self.unsettled[stream.identity(document)] = unsettled(stream, document)
            if stream.CHANGES_AT:
                self.unsettled = due_days.merged(self.unsettled, due_days.days_of(source, [document]))
            if uncommitted >= source.settings.step_documents:
                yield Commit(self._entries({}))
                uncommitted = 0
        entries = self._entries(due_days.passed(source, memories, self.window) if reader else {})
        # A list that cannot be read must not hold up what the events reported.
        if entries or (uncommitted and (stream.SNAPSHOTS or reader is None)):
            yield Commit(entries)
        if reader is not None:
            async for item in read_snapshot(source, memories, self.window, self.changes.since):
                yield item

    def _entries(self, passed: Mapping[str, None]) -> Json:
        """Remembers what was captured since the last commit. Returns what the next one has of it."""
        memories, captured, self.unsettled = self.changes.polled.memories, self.unsettled, {}
        if self.source.stream.CHANGES_AT:
            # With what is known by now of the days on which objects are due.
            captured = due_days.merged(memories.of(self.source), captured)
        return memories.change(self.source, {**captured, **passed})

    async def _documents(
        self, events: WindowEvents | None, reader: ListReader | None
    ) -> AsyncGenerator[Document, None]:
        """In the order of their age. Events come newest first and lists are as new as can be: what was
        written once is not older."""
        source, window, accounts = self.source, self.window, self.changes.account_changes
        sources: list[AsyncIterator[Document]] = [self._postponed()] if reader else []
        if events is not None:
            sources.append(read_changes(source, events, self.changes.not_before))
        if accounts is not None:
            sources.append(self._changed(accounts))
        if reader is not None:
            sources.append(reader.read_new(window))
        for documents in sources:
            async for document in documents:
                if (identity := source.stream.identity(document)) not in self.written:
                    self.written.add(identity)
                    yield document
        if reader is not None:
            # What a whole list shows is newer than the events that were read before.
            days = due_days.parts_due(source, self.changes.polled.memories, window)
            async for document in reader.read_again(window, days):
                yield document

    async def _changed(self, accounts: AccountChanges) -> AsyncGenerator[Document, None]:
        """The accounts that have changed, but for those that were postponed too and have been read."""
        changed = [Subject(Kind.OBJECT, each) for each in accounts.take() if each not in self.written]
        async for document in read_again(self.source, changed):
            yield document

    async def _postponed(self) -> AsyncGenerator[Document, None]:
        """What is due of what was postponed, as it is now."""
        postponed, account_id, now = self.source.postponed, self.source.account_id, self.source.http.now()
        accounts = self.changes.account_changes
        away = accounts.paused if accounts is not None else frozenset[str]()
        due = postponed.due(account_id, now) if postponed is not None else []
        due = [subject for subject in due if Subject.parse(subject).id not in away]
        if postponed is not None and due:
            async for document in read_again(self.source, map(Subject.parse, due)):
                yield document
            # What has failed again is due later, and stays.
            self.read_later = [subject for subject in postponed.due(account_id, now) if subject in due]
            postponed.recover(account_id, self.read_later)


def source_of(
    cls: type[BaseStripeObject],
    platform_account_id: str | None,
    connected_account_id: str | None,
    http: StripeSession,
    log: Logger,
) -> Source:
    """One stream of one account, of the key's own where no connected one is given."""
    # The platform reads its own objects as itself: acting as an account is for the others.
    acting = connected_account_id if connected_account_id != platform_account_id else None
    return Source(
        http,
        log,
        cls,
        account_id=connected_account_id or platform_account_id,
        connected_account_id=acting,
        is_one_of_many=connected_account_id is not None,
        most_attempts=http.settings.account_attempts if acting else math.inf,
    )
