"""A stream's binding that opens: its state is brought up to date, then its tasks start.

Rule: no binding starts before all have subscribed to the events: the last one to open starts them all. With
many accounts each step takes a while, and others have their turn in between.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from estuary_cdk.capture.common import FetchPageFn, ResourceState, open_binding
from estuary_cdk.capture.task import Task

from source_stripe_native.api import Changes
from source_stripe_native.backfill.page_loop import Binding, PageHooks, with_pauses
from source_stripe_native.backfill.progress import Progress
from source_stripe_native.backfill.slices import SlicedBackfill
from source_stripe_native.capture.refreshes import Refreshes
from source_stripe_native.capture.stream_binding import CaptureContext, StreamBinding
from source_stripe_native.capture.summary import Summary, WatchedStream, is_untouched
from source_stripe_native.errors import shown
from source_stripe_native.events.change_loop import EarlyChanges, follow_changes
from source_stripe_native.events.list_feed import reads_lists_in
from source_stripe_native.scheduling.account_changes import AccountChanges
from source_stripe_native.scheduling.poll_times import PollTimes
from source_stripe_native.scheduling.scheduler import open_binding_with_priority_queue
from source_stripe_native.scheduling.work_items import PriorityQueueConfig
from source_stripe_native.state.cursors import Cursors
from source_stripe_native.state.parts import Json, apply, cursor_time, state_of
from source_stripe_native.state.remembered_lists import read_entries
from source_stripe_native.state.shapes import (
    FROM_START,
    ConnectorState,
    StatePatch,
    accounts_after,
    in_time,
    initial_state,
    known_before,
    reconcile,
)
from source_stripe_native.state.windows import floor, uncounted_lag
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.postponed import Postponed
from source_stripe_native.stripe.rate_limit import Priority

AHEAD = "times of the state lie in the future and are taken as now. If changes are missing, backfill again"


async def reconcile_state(
    account_ids: str | Sequence[str],
    binding: Binding,
    state: ResourceState,
    cutoff: datetime,
    task: Task,
    suffixes: Sequence[str],
    owner: str = "",
) -> None:
    """Brings a binding's state into the shape and to the accounts of today, in one checkpoint. Backfill and
    changes of a new account meet at `cutoff`. A state without account ids is that of `owner`, by default of
    the first account."""
    if patch := reconcile(state, cutoff, account_ids, suffixes, owner):
        await _write_and_apply(patch, binding, state, task)


async def _write_and_apply(patch: Json, binding: Binding, state: ResourceState, task: Task) -> None:
    await task.checkpoint(StatePatch(bindingStateV1={binding.stateKey: patch}))
    apply(state, patch)


async def open_stream(
    row: type[BaseStripeObject],
    context: CaptureContext,
    binding: Binding,
    binding_index: int,
    state: ResourceState,
    task: Task,
    bindings: list[Any],
) -> None:
    """Opens one of the `bindings` of a capture; the CDK calls it."""
    stream = OpenStream(row, context, binding, binding_index, state, task, max(1, len(bindings)))
    # What is the platform's alone is captured by its shard: another one leaves its state alone.
    if row.PER_ACCOUNT or row.ARE_ACCOUNTS or context.accounts.selection.shard.has(stream.own_id):
        await stream.prepare()
    await asyncio.sleep(0)
    if binding_index + 1 < len(bindings):
        return
    for start in context.starts:
        start()
        await asyncio.sleep(0)
    context.starts.clear()
    for name, reader in (("accounts", context.poller), ("notices", context.notice_reader)):
        if reader is not None:
            task.spawn_child(name, reader.run)
    if context.watched:
        notices = context.notice_reader
        summary = Summary(context.http, context.watched, context.pauses, context.poller, notices)
        task.spawn_child("summary", summary.run)


@dataclass(frozen=True)
class OpenStream(StreamBinding):
    """A stream's binding, the `index`-th of so many `bindings`, with the `state` that its tasks move on. They
    are children of `task`, in which the capture opens."""

    binding: Binding
    index: int
    state: ResourceState
    task: Task
    bindings: int

    async def prepare(self) -> None:
        """Brings the state up to date, subscribes to the events, and adds how the binding starts."""
        starts, cutoff = self.context.starts, self.context.cutoff
        await self._correct_times()
        await reconcile_state(
            self.account_ids, self.binding, self.state, cutoff, self.task, self.suffixes, self.own_id
        )
        if self.context.schedules.is_due(self.row.NAME, self.state):
            await self._repeat_backfill(self.task)
        refreshes = await self._restore_snapshot()
        if refreshes.ranges:
            run = functools.partial(refreshes.run, self.fetch_range, self.context.pauses)
            starts.append(functools.partial(self._spawn, "refresh", run))
        await asyncio.sleep(0)
        self._subscribe()
        starts.append(self._start_accounts if self.is_per_account else self._start_one)

    def _spawn(self, name: str, run: Callable[[Task], Awaitable[None]]) -> None:
        self.task.spawn_child(f"{self.row.NAME}.{name}", run)

    async def _correct_times(self) -> None:
        """Takes times ahead of Stripe's clock as now, in one checkpoint."""
        now = self.context.http.now().replace(microsecond=0)
        if not (patch := in_time(self.state, now)):
            return
        if ahead := accounts_after(self.state, self.own_id, now + self.context.http.settings.clock_tolerance):
            self.task.log.warning(f"{self.row.NAME}: {AHEAD}. Accounts: {shown(ahead)}")
        await _write_and_apply(patch, self.binding, self.state, self.task)

    async def _restore_snapshot(self) -> Refreshes:
        """Takes out of the state what it remembers: objects that were postponed, refreshes, and lists that
        are compared as a whole. What it has of accounts that are not captured here any more is removed."""
        row, context, state, all_ids = self.row, self.context, self.state, self.accounts.all_ids
        # What is not captured account by account is the platform's, whichever shard has it.
        known = {*all_ids, self.own_id} if state.snapshot else set[str]()
        postponed = context.postponed[row.NAME] = Postponed(context.http.settings, self._write_entries)
        wanted = [refresh for refresh in context.refresh if refresh.stream == row.NAME]
        selection = self.accounts.selection.digest if self.follows_accounts else ""
        refreshes = Refreshes(row, self.binding, self.index, wanted, postponed, selection)
        own_ids, now = all_ids if self.is_per_account else [self.own_id], context.http.now()
        patch = postponed.restore(state, known)
        patch |= refreshes.restore(state, own_ids, now, self.task.log)
        if refreshes.is_selection_new and not is_untouched(state, 1):
            # Before it is noted: after a stop in between it is new still.
            await self._repeat_backfill(self.task)
        if self.follows_accounts and not is_untouched(state, 1):
            # One that was created long ago is not found by its creation time, and no event tells of it.
            patch |= postponed.read_again(self.own_id, [f"OBJECT::{new_id}" for new_id in context.new_ids])
        if row.SHOWS_DELETIONS or row.CHANGES_AT:
            listed, of_others = read_entries(state, known)
            patch |= of_others
            context.polled.memories.restore(row.NAME, listed, postponed.write)
            state.snapshot = None
        if patch:
            await self._write_entries(patch)
        return refreshes

    async def _write_entries(self, entries: Json) -> None:
        """Writes entries of the binding's snapshot in the task in which the capture opens, which all bindings
        share. Those that capture have buffers of their own."""
        patch = StatePatch(bindingStateV1={self.binding.stateKey: {"snapshot": entries}})
        async with self.context.writing:
            try:
                await self.task.checkpoint(patch)
            finally:
                self.task.reset()

    async def _repeat_backfill(self, task: Task) -> None:
        """Starts the binding's backfill again, for all of its accounts, whatever is left of the last one. The
        cursors stay where they are."""
        key, state = self.binding.stateKey, self.state
        if state.backfill:
            # Whatever of it is unknown here is gone too. A stop in between leaves a binding with a due
            # schedule.
            await task.checkpoint(StatePatch(bindingStateV1={key: {"backfill": None}}))
        account_ids = list(state.inc) if isinstance(state.inc, Mapping) else ""
        state.backfill = initial_state(account_ids, self.suffixes, self.context.http.now()).backfill
        state.last_initialized, state.is_connector_initiated = datetime.now(tz=UTC), True
        begun = state_of(
            backfill=state.backfill, last_initialized=state.last_initialized, is_connector_initiated=True
        )
        await task.checkpoint(ConnectorState(bindingStateV1={key: begun}))

    def _subscribe(self) -> None:
        """Subscribes the binding to the events of each account from its cursor on."""
        inc, feed = self.state.inc, self.context.feed
        if not self.row.follows_events():
            return
        if self.is_per_account:
            feed.subscribe(Cursors.of(self.state, self.context.numbers).seconds())
        elif isinstance(inc, ResourceState.Incremental) and isinstance(inc.cursor, datetime):
            second = floor(inc.cursor)
            feed.subscribe(second if self.follows_accounts else {self.own_id: second})

    def _start_one(self) -> None:
        """Starts a binding with one state for all that it captures."""
        backfill, suffixes = self.state.backfill, self.suffixes
        is_sliced = FROM_START in suffixes and isinstance(backfill, dict)
        watched = self._watch(1 if is_sliced else len(suffixes))
        fetch_page: FetchPageFn[Any] | dict[str, FetchPageFn[Any]] | None = None
        if isinstance(backfill, ResourceState.Backfill):
            fetch_page = self._own_variant("", watched.progress)
        elif backfill and is_sliced:
            self._start_slices(watched.progress)
        elif backfill:
            fetch_page = {suffix: self._own_variant(suffix, watched.progress) for suffix in suffixes}
        self._follow(watched)
        open_binding(self.binding, self.index, self.state, self.task, fetch_page=fetch_page)

    def _own_variant(self, suffix: str, progress: Progress) -> FetchPageFn[Any]:
        fetch_page = self.fetch_variant(None, suffix, progress)
        return with_pauses(fetch_page, self.failures(f"backfill{suffix}"), self.task.stopping.event)

    def _start_slices(self, progress: Progress) -> None:
        def fetch_slice(since: int, hooks: PageHooks, stopping: asyncio.Event) -> FetchPageFn[Any]:
            fetch_page = self.backfill(None, since, "", hooks).fetch
            return with_pauses(fetch_page, self.failures(f"backfill from {since}"), stopping)

        backfill = SlicedBackfill(
            self.binding,
            self.index,
            self.state,
            fetch_slice,
            progress,
            replace(self.source(None), priority=Priority.BACKFILL),
            self.start,
            # As the documentation promises.
            is_whole=self.row.NAME in self.context.schedules.crons,
        )
        self._spawn("backfill", backfill.run)

    def _follow(self, watched: WatchedStream) -> None:
        """Follows the changes of a binding with one cursor."""
        inc, interval, http = self.state.inc, self.binding.resourceConfig.interval, self.context.http
        assert isinstance(inc, ResourceState.Incremental), "a single account has one cursor"
        account_changes, poller, stopping = None, self.context.poller, self.task.stopping.event
        if self.follows_accounts and poller is not None:
            types, second = self.row.all_event_types(), floor(cursor_time(inc.cursor))
            account_changes = AccountChanges(types, self.accounts.all_ids, second, poller, interval, stopping)
            poller.subscribe(account_changes, interval)
        changes = self.changes(None, known_before(self.state, "", self.suffixes), account_changes)
        uncounted = uncounted_lag(interval, http.settings)

        def now() -> datetime:
            return http.now() - uncounted

        def waiting() -> timedelta:
            """How long changes have waited for a sweep that was due."""
            behind = http.now() - cursor_time(inc.cursor) - interval - http.settings.lag
            return behind - poller.longest_rest() if account_changes and poller else behind

        watched.waiting = waiting
        failures, early = self.failures("changes"), self._early(changes)
        follow = functools.partial(
            follow_changes, self.binding, self.index, changes.fetch, inc, now, failures, early=early
        )
        self._spawn("incremental", follow)

    def _early(self, changes: Changes) -> EarlyChanges | None:
        """What the loop of a binding with one cursor captures after notices, if there are any."""
        reader = self.context.notice_reader
        if reader is None or not self.row.follows_events():
            return None
        if changes.account_changes is not None:
            changes.account_changes.is_early = True
            return EarlyChanges(changes.fetch_early, changes.account_changes.changed)
        notified = asyncio.Event()

        def notify(account_id: str, types: frozenset[str]) -> None:
            if account_id == self.own_id and self.is_relevant(types):
                notified.set()

        reader.subscribe(notify)
        return EarlyChanges(changes.fetch_early, notified)

    def _start_accounts(self) -> None:
        """Starts a binding with a state for each of the connected accounts."""
        context, settings, row = self.context, self.context.http.settings, self.row
        state, suffixes, accounts = self.state, self.suffixes, self.accounts.all_ids
        watched = self._watch(len(accounts) * len(suffixes))
        polls = PollTimes(settings, self.is_trusted)
        most = min(settings.subtasks_per_binding, settings.subtasks // self.bindings)

        def changes(account_id: str) -> Changes:
            return self.changes(account_id, known_before(state, account_id, suffixes))

        scheduler = open_binding_with_priority_queue(
            self.binding,
            self.index,
            state,
            self.task,
            accounts,
            fetch_changes_factory=lambda account_id: changes(account_id).fetch,
            fetch_page_factory=functools.partial(self.fetch_variant, progress=watched.progress),
            config=PriorityQueueConfig(
                max_subtasks=max(1 + len(suffixes), most),
                now=context.http.now,
                flush=settings.flush_interval,
                flush_at_most=settings.flush_of_each(self.bindings),
                is_relevant=self.is_relevant,
                reads_lists_in=functools.partial(reads_lists_in, row, settings),
                polls=polls if row.POLLS else None,
                poller=context.poller,
                pauses=context.pauses,
                postponed=context.postponed[row.NAME],
                fetch_early=(lambda key: changes(key).fetch_early) if row.follows_events() else None,
            ),
            backfill_subtask_suffixes=suffixes,
        )
        watched.waiting = scheduler.waiting
        if context.notice_reader is not None and row.follows_events():
            context.notice_reader.subscribe(scheduler.notice)

    def _watch(self, subtasks: int) -> WatchedStream:
        """Shows the binding in the capture's summary, and keeps its schedule."""
        context, state, name = self.context, self.state, self.row.NAME
        parts = state.backfill if isinstance(state.backfill, dict) else {"": state.backfill}
        unfinished = min(subtasks, sum(part is not None for part in parts.values()))
        progress = Progress(self.task.log, subtasks, unfinished, context.http.settings)
        begins = is_untouched(state, subtasks)
        watched = WatchedStream(name, state, progress, self.suffixes, begins, self.workload)
        context.watched.append(watched)

        def is_open() -> bool:
            return watched.backfill_status(context.pauses.paused_for(name)) is not None

        if name in context.schedules.crons and (initialized := state.last_initialized) is not None:
            repeat = self._repeat_backfill
            keep = functools.partial(context.schedules.keep, name, initialized, is_open, repeat)
            self._spawn("schedule", keep)
        return watched
