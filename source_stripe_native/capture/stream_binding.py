"""A stream's binding in one capture: its fetch functions, how it is opened, and what it shares with others.

A capture of one account uses the CDK's `open_binding`, a capture of connected accounts the scheduler. Both
drive the same fetch functions, and a row's variants become subtasks in either.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from estuary_cdk.capture.common import FetchChangesFn, FetchPageFn, ResourceState, open_binding
from estuary_cdk.capture.task import Task

from source_stripe_native.api import Backfill, Changes, source_of
from source_stripe_native.backfill.page_loop import PageHooks, with_pauses
from source_stripe_native.backfill.progress import FindOldest, Progress, ProgressHooks, oldest_second
from source_stripe_native.backfill.slices import SlicedBackfill
from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.capture.binding_state import (
    Binding,
    correct_times,
    reconcile_state,
    repeat_backfill,
    restore_snapshot,
    writer,
)
from source_stripe_native.capture.refreshes import Refreshes
from source_stripe_native.capture.summary import Delay, Summary, WatchedStream, is_untouched
from source_stripe_native.config import Refresh
from source_stripe_native.events.change_loop import EarlyChanges, FetchEarlyFn, follow_changes
from source_stripe_native.events.feed import EventFeed
from source_stripe_native.events.list_feed import PolledLists, reads_lists_in
from source_stripe_native.flow.output import closing
from source_stripe_native.flow.schedules import Schedules
from source_stripe_native.scheduling.account_changes import AccountChanges
from source_stripe_native.scheduling.account_poller import AccountPoller
from source_stripe_native.scheduling.notice_reader import NoticeReader
from source_stripe_native.scheduling.pauses import Pauses, Unit, UnitFailures
from source_stripe_native.scheduling.scheduler import open_binding_with_priority_queue
from source_stripe_native.scheduling.turns import PollTimes
from source_stripe_native.scheduling.work_items import PriorityQueueConfig
from source_stripe_native.state.cursors import AccountNumbers, Cursors
from source_stripe_native.state.parts import Json, own_all
from source_stripe_native.state.shapes import FROM_START, cursor_time, initial_state, known_before
from source_stripe_native.state.shards import ALL_ACCOUNTS
from source_stripe_native.state.windows import floor, uncounted_lag
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.account_directory import CapturedAccounts
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Source, Workload
from source_stripe_native.stripe.postponed import Postponed
from source_stripe_native.stripe.rate_limit import Priority
from source_stripe_native.stripe.shared_pages import SharedPages


@dataclass(frozen=True)
class CaptureContext:
    """What the bindings of a capture share: one reading of events, what is paused after failures, the poller
    of connected accounts, the reader of notices, the ids of objects whose changes supersede a page of a
    backfill, what was seen in polled lists, and pages of parents. Made before any of them opens."""

    feed: EventFeed
    pauses: Pauses
    poller: AccountPoller | None = None
    notice_reader: NoticeReader | None = None
    superseded: SupersededIds = field(default_factory=SupersededIds)
    polled: PolledLists = field(default_factory=PolledLists)
    sharing: SharedPages | None = None
    schedules: Schedules = field(default_factory=Schedules)
    postponed: dict[str, Postponed] = field(default_factory=dict)
    """The objects of each stream that cannot be read for now."""
    refresh: Sequence[Refresh] = ()
    """What is to be captured again, of all streams."""
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while the task in which the capture opens writes a checkpoint."""
    initial: dict[tuple[str, ...], ResourceState] = field(default_factory=dict)
    """The initial states of connected accounts, by suffixes."""
    numbers: AccountNumbers = field(default_factory=AccountNumbers)
    """The connected accounts, as the cursors of new bindings number them."""
    starts: list[Callable[[], None]] = field(default_factory=list)
    """What starts the bindings that are open."""
    watched: list[WatchedStream] = field(default_factory=list)
    """The bindings that are open, for the summary."""

    def is_trusted(self, account_id: str) -> bool:
        """Whether posts announce whatever happens in the account."""
        reader = self.notice_reader
        return reader is not None and reader.is_trusted(account_id)

    def initial_state(
        self, account_ids: str | Sequence[str], suffixes: Sequence[str], cutoff: datetime
    ) -> ResourceState:
        """An initial state. With connected accounts, bindings with the same suffixes share it."""
        if isinstance(account_ids, str):
            return initial_state(account_ids, suffixes, cutoff)
        if (key := tuple(suffixes)) not in self.initial:
            self.initial[key] = initial_state(account_ids, suffixes, cutoff)
        return self.initial[key]


@dataclass(frozen=True)
class StreamBinding:
    """A row of the catalogue in one capture: its fetch functions, and how its binding is opened. Made with
    the row's resource. A new capture's backfill and changes meet at `cutoff`."""

    row: type[BaseStripeObject]
    http: StripeSession
    start_date: datetime
    accounts: CapturedAccounts
    context: CaptureContext
    cutoff: datetime

    @functools.cached_property
    def delay(self) -> Delay:
        return Delay(self.row.NAME, self.http.settings)

    @functools.cached_property
    def initial(self) -> ResourceState:
        """The state in which everything is still to be captured."""
        return self.context.initial_state(self.account_ids, self.suffixes, self.cutoff)

    @property
    def is_per_account(self) -> bool:
        """Whether each account has a state of its own in the binding."""
        return self.accounts.connected_ids is not None and self.row.PER_ACCOUNT

    @property
    def account_ids(self) -> str | list[str]:
        """The accounts of the state: an id where it is flat, a list where it is keyed by account."""
        return self.accounts.all_ids if self.is_per_account else self.accounts.platform_id

    @property
    def suffixes(self) -> list[str]:
        """The suffixes of a new state."""
        is_sliced = self.row.is_sliced() and self.accounts.connected_ids is None
        return [FROM_START] if is_sliced else list(self.row.VARIANTS)

    @property
    def follows_accounts(self) -> bool:
        """Whether the documents are the connected accounts, with one state for all of them."""
        return self.accounts.connected_ids is not None and self.row.ARE_ACCOUNTS

    @property
    def is_elsewhere(self) -> bool:
        """Whether the shard that has the platform captures the binding: this one leaves its state alone."""
        is_platforms = not self.row.PER_ACCOUNT and not self.row.ARE_ACCOUNTS
        return is_platforms and not self.accounts.selection.shard.has(self.accounts.platform_id)

    def fetch_changes(
        self, account_id: str | None, not_before: int, account_changes: AccountChanges | None = None
    ) -> FetchChangesFn[Any]:
        return self._changes(account_id, not_before, account_changes).fetch

    def _changes(
        self, account_id: str | None, not_before: int, account_changes: AccountChanges | None = None
    ) -> Changes:
        return Changes(
            self._source(account_id),
            self.context.feed,
            not_before,
            self.context.superseded,
            # Not of this function: with connected accounts each turn of an account has a new one.
            self.context.polled,
            floor(self.start_date),
            account_changes,
            commits=True,
        )

    def _early_changes(
        self, account_id: str, not_before: int, account_changes: AccountChanges | None
    ) -> EarlyChanges | None:
        """What the loop of a binding with one cursor captures after notices; None where the capture gets
        none, and where the stream follows no events."""
        reader = self.context.notice_reader
        if reader is None or not self.row.follows_events():
            return None
        fetch = self._changes(None, not_before, account_changes).fetch_early
        early = EarlyChanges(fetch, functools.partial(_is_relevant, self.row))
        if account_changes is not None:
            early.notified = account_changes.changed
            return early
        reader.subscribe(
            lambda notified_id, types: early.notify(types) if notified_id == account_id else None
        )
        return early

    def _fetch_early(self, state: ResourceState) -> Callable[[str], FetchEarlyFn] | None:
        """The same for connected accounts, whose scheduler is a subscriber itself."""
        if self.context.notice_reader is None or not self.row.follows_events():
            return None

        def fetch_early(account_id: str) -> FetchEarlyFn:
            return self._changes(account_id, known_before(state, account_id, self.suffixes)).fetch_early

        return fetch_early

    def _source(self, account_id: str | None) -> Source:
        # The capture's logger has to be the CDK's: none may be made before the CDK has set its class.
        log = logging.getLogger("flow")
        return replace(
            source_of(self.row, self.accounts.platform_id, account_id, self.http, log),
            workload=self.delay.workload,
            selection=self.accounts.selection if self.follows_accounts else ALL_ACCOUNTS,
            postponed=self.context.postponed.get(self.row.NAME),
        )

    def fetch_page(
        self, account_id: str | None, start: int, suffix: str, hooks: PageHooks
    ) -> FetchPageFn[Any]:
        source = replace(self._source(account_id), workload=Workload())
        backfill = self._backfill(source, start, suffix)
        return replace(backfill, hooks=hooks, sharing=self.context.sharing).fetch

    def _backfill(self, source: Source, start: int, suffix: str) -> Backfill:
        return Backfill(
            source,
            start,
            list(self.row.VARIANTS[suffix].items()),
            self.row.EMBEDDINGS.get(suffix),
            self.context.superseded,
            memories=self.context.polled.memories,
        )

    def fetch_range(self, account_id: str, suffix: str, since: datetime) -> FetchPageFn[Any]:
        """The function that reads a variant of an account again, from a time on (`refreshes.FetchRange`)."""
        source = self._source(account_id if self.is_per_account else None)
        backfill = self._backfill(replace(source, workload=Workload()), floor(since), suffix)
        return replace(backfill, ends_at_cutoff=True).fetch

    def fetch_variant(self, account_id: str | None, suffix: str, progress: Progress) -> FetchPageFn[Any]:
        is_dated = self.row.is_listed_by_time() and suffix not in self.row.EMBEDDINGS
        look = self._find_oldest(account_id, suffix) if is_dated else None
        hooks = ProgressHooks(f"{account_id or ''}{suffix}", progress, look)
        return self.fetch_page(account_id, floor(self.start_date), suffix, hooks)

    def _own_variant(self, suffix: str, progress: Progress, task: Task) -> FetchPageFn[Any]:
        fetch_page = self.fetch_variant(None, suffix, progress)
        return with_pauses(fetch_page, self._failures(f"backfill{suffix}"), task.stopping.event)

    def fetch_slice(self, since: int, hooks: PageHooks, stopping: asyncio.Event) -> FetchPageFn[Any]:
        fetch_page = self.fetch_page(None, since, "", hooks)
        return with_pauses(fetch_page, self._failures(f"backfill from {since}"), stopping)

    def _failures(self, part: str) -> UnitFailures:
        """Where a loop of a single account reports its failures."""
        return UnitFailures(self.context.pauses, Unit(self.row.NAME, self.accounts.platform_id, part))

    def _find_oldest(self, account_id: str | None, suffix: str) -> FindOldest:
        source = replace(self._source(account_id), priority=Priority.BACKFILL)
        return functools.partial(oldest_second, source, list(self.row.VARIANTS[suffix].items()))

    async def open(
        self, binding: Binding, binding_index: int, state: ResourceState, task: Task, bindings: list[Any]
    ) -> None:
        """Opens the binding; the CDK calls it. No binding starts before all have subscribed to the events:
        the last one to open starts them all. With many accounts each step takes a while, and others have
        their turn in between."""
        if not self.is_elsewhere:
            await self._prepare(binding, binding_index, state, task, max(1, len(bindings)))
        await asyncio.sleep(0)
        if binding_index + 1 >= len(bindings):
            for start in self.context.starts:
                start()
                await asyncio.sleep(0)
            self.context.starts.clear()
            if self.context.notice_reader is not None:
                task.spawn_child("notices", self.context.notice_reader.run)
            if self.context.watched:
                context = self.context
                summary = Summary(
                    self.http, context.watched, context.pauses, context.poller, context.notice_reader
                )
                task.spawn_child("summary", summary.run)

    async def _prepare(
        self, binding: Binding, binding_index: int, state: ResourceState, task: Task, bindings: int
    ) -> None:
        """Brings the state up to date, subscribes to the events, and adds how the binding starts."""
        own_id = self.accounts.platform_id
        await correct_times(binding, state, task, self.http, own_id)
        await reconcile_state(
            self.account_ids, binding, state, self._initial_of_new(state), task, self.suffixes, own_id
        )
        if self.context.schedules.is_due(self.row.NAME, state):
            await repeat_backfill(binding, state, self.suffixes, self.http, task)
        memories = self.context.polled.memories if self.row.SHOWS_DELETIONS or self.row.CHANGES_AT else None
        postponed = Postponed(self.http.settings, writer(binding, task, self.context.writing))
        self.context.postponed[self.row.NAME] = postponed
        wanted = [refresh for refresh in self.context.refresh if refresh.stream == self.row.NAME]
        selection = self.accounts.selection.digest if self.follows_accounts else ""
        refreshes = Refreshes(self.row, wanted, selection)
        own_ids = self.accounts.all_ids if self.is_per_account else [own_id]

        async def begin() -> Json:
            now = self.http.now()
            patch = refreshes.restore(state, own_ids, self.row.VARIANTS, postponed, now, task.log)
            if refreshes.is_selection_new and not is_untouched(state, 1):
                await repeat_backfill(binding, state, self.suffixes, self.http, task)
            return patch

        await restore_snapshot(
            binding,
            state,
            memories,
            # What is not captured account by account is the platform's, whichever shard has it.
            [*self.accounts.all_ids, own_id],
            postponed,
            begin,
        )
        if refreshes.has_ranges:
            self.context.starts.append(
                functools.partial(self._refresh, refreshes, binding, binding_index, task)
            )
        await asyncio.sleep(0)
        self._subscribe(state)
        start: Callable[[], None] = functools.partial(self._open_one, binding, binding_index, state, task)
        if self.is_per_account:
            start = functools.partial(self._open_accounts, binding, binding_index, state, task, bindings)
        self.context.starts.append(start)

    def _refresh(self, refreshes: Refreshes, binding: Binding, binding_index: int, task: Task) -> None:
        fetch, pauses = self.fetch_range, self.context.pauses
        run = functools.partial(refreshes.run, binding, binding_index, fetch, pauses)
        task.spawn_child(f"{self.row.NAME}.refresh", closing(run))

    def _initial_of_new(self, state: ResourceState) -> ResourceState:
        """The initial state of the accounts of which `state` has no cursor."""
        account_ids, known = self.account_ids, state.inc
        if isinstance(account_ids, list) and isinstance(known, Mapping):
            account_ids = list(set(account_ids) - set(known))
        return initial_state(account_ids, self.suffixes, self.cutoff)

    def _subscribe(self, state: ResourceState) -> None:
        """Subscribes the binding to the events of each account from its cursor on."""
        if not self.row.follows_events():
            return
        feed = self.context.feed
        if self.is_per_account:
            feed.subscribe_each(Cursors.of(state, self.context.numbers).seconds())
        elif isinstance(state.inc, ResourceState.Incremental) and isinstance(state.inc.cursor, datetime):
            if self.follows_accounts:
                feed.subscribe_all(state.inc.cursor)
            else:
                feed.subscribe(self.accounts.platform_id, state.inc.cursor)

    def _open_one(self, binding: Binding, binding_index: int, state: ResourceState, task: Task) -> None:
        """Starts a binding with one state for all that it captures."""
        own_all(state)
        fetch_page: FetchPageFn[Any] | dict[str, FetchPageFn[Any]] | None = None
        progress: Progress | None = None
        if isinstance(state.backfill, ResourceState.Backfill):
            progress = self._progress(task, 1, 1)
            fetch_page = self._own_variant("", progress, task)
        elif state.backfill and FROM_START in self.suffixes:
            progress = self._progress(task, 1, 1)
            self._open_slices(binding, binding_index, state, progress, task)
        elif state.backfill:
            unfinished = sum(part is not None for part in state.backfill.values())
            progress = self._progress(task, len(self.suffixes), unfinished)
            fetch_page = {suffix: self._own_variant(suffix, progress, task) for suffix in self.suffixes}
        self._follow(binding, binding_index, state, task)
        self._watch(binding, state, progress, task)
        open_binding(binding, binding_index, state, task, fetch_page=fetch_page)

    def _follow(self, binding: Binding, binding_index: int, state: ResourceState, task: Task) -> None:
        """Follows the changes of a binding with one cursor."""
        inc, interval, http = state.inc, binding.resourceConfig.interval, self.http
        assert isinstance(inc, ResourceState.Incremental), "a single account has one cursor"
        account_changes, poller = None, self.context.poller
        if self.follows_accounts and poller is not None:
            account_changes = AccountChanges(
                self.row.all_event_types(),
                self.accounts.all_ids,
                floor(cursor_time(inc.cursor)),
                poller,
                interval,
                task.stopping.event,
            )
            poller.subscribe(account_changes, interval, task)
        not_before = known_before(state, "", self.suffixes)
        fetch = self.fetch_changes(None, not_before, account_changes)
        uncounted = uncounted_lag(interval, http.settings)

        def now() -> datetime:
            return http.now() - uncounted

        def waiting() -> timedelta:
            """How long changes have waited for a sweep that was due."""
            behind = http.now() - cursor_time(inc.cursor) - interval - http.settings.lag
            return behind - poller.longest_rest() if account_changes and poller else behind

        self.delay.watch(waiting)
        failures = self._failures("changes")
        early = self._early_changes(self.accounts.platform_id, not_before, account_changes)
        follow = functools.partial(
            follow_changes, binding, binding_index, fetch, inc, now, failures, early=early
        )
        task.spawn_child(f"{self.row.NAME}.incremental", follow)

    def _open_slices(
        self, binding: Binding, binding_index: int, state: ResourceState, progress: Progress, task: Task
    ) -> None:
        backfill = SlicedBackfill(
            binding,
            binding_index,
            state,
            self.fetch_slice,
            progress,
            replace(self._source(None), priority=Priority.BACKFILL),
            floor(self.start_date),
            # As the documentation promises.
            is_whole=self.row.NAME in self.context.schedules.crons,
        )
        task.spawn_child(f"{self.row.NAME}.backfill", backfill.run)

    def _open_accounts(
        self, binding: Binding, binding_index: int, state: ResourceState, task: Task, bindings: int
    ) -> None:
        """Starts a binding with a state for each of the connected accounts."""
        accounts, settings = self.accounts.all_ids, self.http.settings
        backfills = state.backfill if isinstance(state.backfill, dict) else {}
        unfinished = sum(part is not None for part in backfills.values())
        progress = self._progress(task, len(accounts) * len(self.suffixes), unfinished)
        self._watch(binding, state, progress, task)
        open_binding_with_priority_queue(
            binding,
            binding_index,
            state,
            task,
            accounts,
            fetch_changes_factory=lambda account_id: self.fetch_changes(
                account_id, known_before(state, account_id, self.suffixes)
            ),
            fetch_page_factory=lambda account_id, suffix: self.fetch_variant(account_id, suffix, progress),
            config=PriorityQueueConfig(
                max_subtasks=max(
                    1 + len(self.suffixes), min(settings.subtasks_per_binding, settings.subtasks // bindings)
                ),
                now=self.http.now,
                flush=settings.flush_interval,
                flush_at_most=settings.flush_of_each(bindings),
                is_relevant=functools.partial(_is_relevant, self.row),
                reads_lists_in=functools.partial(reads_lists_in, self.row, settings),
                polls=PollTimes(settings, self.context.is_trusted) if self.row.POLLS else None,
                poller=self.context.poller,
                pauses=self.context.pauses,
                postponed=self.context.postponed.get(self.row.NAME),
                notice_reader=self.context.notice_reader,
                fetch_early=self._fetch_early(state),
                watch=self.delay.watch,
            ),
            backfill_subtask_suffixes=self.suffixes,
        )

    def _watch(self, binding: Binding, state: ResourceState, progress: Progress | None, task: Task) -> None:
        """Shows the binding in the capture's summary, and keeps its schedule."""
        begins = progress is not None and is_untouched(state, progress.subtasks)
        watched = WatchedStream(self.row.NAME, state, self.delay, self.suffixes, progress, begins)
        self.context.watched.append(watched)
        schedules, pauses = self.context.schedules, self.context.pauses
        if self.row.NAME not in schedules.crons or state.last_initialized is None:
            return

        def is_open() -> bool:
            return watched.backfill_status(pauses.paused_for(self.row.NAME)) is not None

        repeat = functools.partial(repeat_backfill, binding, state, self.suffixes, self.http)
        keep = functools.partial(schedules.keep, self.row.NAME, state.last_initialized, is_open, repeat)
        task.spawn_child(f"{self.row.NAME}.schedule", keep)

    def _progress(self, task: Task, subtasks: int, untouched: int) -> Progress:
        return Progress(task.log, subtasks, untouched, self.http.settings)


def _is_relevant(cls: type[BaseStripeObject], types: frozenset[str]) -> bool:
    """Whether new events of `types` may concern the stream."""
    return bool(types if cls.IS_EVENT else types & cls.all_event_types())
