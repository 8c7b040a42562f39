"""The scheduler: fair scheduling of one binding's capture over many connected accounts.

Each account in its turn is a work item: one incremental subtask, and one backfill subtask for each variant
that is unfinished. Work items run side by side within a number of subtasks. Accounts that are backfilling go
first, by `max_wait` at most (units.py). A work item that takes longer than its time slice while others wait
yields at its next checkpoint and is queued again.
"""

import asyncio
import functools
import math
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from estuary_cdk.capture.common import BaseDocument, FetchSnapshotFn, ResourceState
from estuary_cdk.capture.task import Task

from source_stripe_native.backfill.page_loop import Binding
from source_stripe_native.config import MIN_INTERVAL
from source_stripe_native.flow.output import closing
from source_stripe_native.flow.waits import wait_any
from source_stripe_native.protocols import (
    FetchChangesFnFactory,
    FetchPageFnFactory,
    FetchPageFnFactoryWithSuffix,
)
from source_stripe_native.scheduling.subtasks import SubtaskExecutor
from source_stripe_native.scheduling.units import IDLE, Record, Units
from source_stripe_native.scheduling.work_items import PriorityQueueConfig, WorkItem, WorkItemManager
from source_stripe_native.state.parts import state_of
from source_stripe_native.state.shapes import ConnectorState
from source_stripe_native.state.windows import Window
from source_stripe_native.stripe.rate_limit import GOLDEN_RATIO


class Scheduler:
    """The one coroutine that starts a binding's work items. Whatever happens to an account is a transition of
    its unit (units.py).

    With a poller, which notifies it, accounts that are not backfilling are queued only when there is
    something to read: where nothing concerns the binding, the notification moves the cursor and costs no
    work item."""

    def __init__(
        self,
        manager: WorkItemManager,
        executor: SubtaskExecutor,
        account_ids: Sequence[str],
        config: PriorityQueueConfig,
    ) -> None:
        self._manager = manager
        self._cursors = manager.cursors
        self._executor = executor
        self._account_ids = account_ids
        self._config = config
        self._interval = executor.interval.total_seconds()
        self._units = Units()
        self._running: dict[str, WorkItem] = {}
        """The work item of each account whose turn it is."""
        self._added: list[str] = []

    async def run(self, task: Task) -> None:
        clock, stopping, freed = asyncio.get_running_loop().time, task.stopping.event, self._executor.freed
        self._queue_all(clock())
        # All at once, the bindings would hold up everything else.
        shift = self._executor.binding_index * GOLDEN_RATIO % 1
        flush_time = clock() + (1 - shift) * self._config.flush.total_seconds()
        while not stopping.is_set():
            freed.clear()
            added, self._added = self._added, []
            for account_id in added:
                await self._executor.start_account(account_id, task)
                self._set(account_id, self._units[account_id].notify(clock()))
            if clock() >= flush_time:
                await self._flush(task, self._config.flush_at_most)
                flush_time = clock() + self._config.flush.total_seconds()
            now = clock()
            self._start_ready(task, now)
            wake_times = [self._units.next_ready_time(), self._end_time_slices(now)]
            if self._cursors.is_dirty:
                wake_times.append(flush_time)
            await wait_any(freed, stopping, at_most=min(wake_times) - now)
        await self._flush(task, at_most=None)

    def notify(self, account_id: str, window: Window, types: frozenset[str]) -> None:
        """Moves an account's cursor where nothing in `window` concerns this binding, and queues the account
        where something does. A cursor that waits for its lists stays where it is."""
        polls, is_relevant = self._config.polls, self._config.is_relevant(types)
        if polls is not None and types:
            polls.record_events(account_id, window.end)
        record, now = self._units[account_id], asyncio.get_running_loop().time()
        cursor = self._cursors.second(account_id)
        if record.has_turn(now) or not cursor or cursor >= window.end:
            return
        if record.is_running:
            # What is due by time alone, the turn reads itself.
            has_more = is_relevant or polls is None
        else:
            is_due = polls.is_due(account_id, cursor, window.end) if polls else cursor < window.start
            due = Window(cursor, window.end)
            has_more = is_relevant or is_due or self._config.reads_lists_in(account_id, due)
        if has_more:
            # Of those that only their lists' turn brings there may be many at once.
            grace = 0.0 if polls is not None and is_relevant else None
            self._set(account_id, record.notify(now, window.end), grace)
        elif polls is None:
            self._cursors.move(account_id, window.end)
            self._executor.write_later(account_id)

    def notice(self, account_id: str, types: frozenset[str]) -> None:
        """The newest events of an account have been read early: captures them where one concerns the
        binding."""
        if not self._config.is_relevant(types) or not self._cursors.second(account_id):
            return
        if account_id in self._running:
            self._running[account_id].noticed.set()
        self._set(account_id, self._units[account_id].notice(asyncio.get_running_loop().time()))

    def add_accounts(self, account_ids: Sequence[str]) -> None:
        self._added.extend(account_ids)
        self._executor.freed.set()

    def waiting(self) -> timedelta:
        """How long an account has waited for its turn, or has been behind while it lasts."""
        now, ages = asyncio.get_running_loop().time(), self._ages(self._running)
        turns = (min(now - self._units[key].time, age - self._interval) for key, age in ages.items())
        return timedelta(seconds=max([self._units.longest_wait(now), *turns]))

    async def _flush(self, task: Task, at_most: int | None) -> None:
        """Writes the cursors of accounts that had nothing new. An account whose turn it is may have documents
        under way that no checkpoint covers yet: its own next checkpoint counts."""
        if cursors := self._cursors.take_dirty(at_most, but_for=self._running):
            key = self._executor.binding.stateKey
            await task.checkpoint(ConnectorState(bindingStateV1={key: state_of(inc=cursors)}))

    def _queue_all(self, now: float) -> None:
        """The first turns: the account that was not read for the longest time goes first, and one that was
        read within the last interval waits for the rest of it unless it is backfilling."""
        backfilling = self._manager.calculator.backfilling(self._account_ids)
        # With a poller the others wait for something to read.
        waiting = self._account_ids if self._config.poller is None else backfilling
        ages, at_once = self._ages(waiting), IDLE.notify(now)
        for account_id in sorted(waiting, key=ages.__getitem__, reverse=True):
            rest = min(max(0.0, self._interval - ages[account_id]), self._interval)
            # Tens of thousands of accounts may share a record.
            self._set(account_id, at_once if account_id in backfilling else IDLE.notify(now + rest))
        if (postponed := self._config.postponed) is not None:
            postponed.on_added = self._queue_for_postponed
            for account_id in postponed.account_ids:
                self._queue_for_postponed(account_id)

    def _queue_for_postponed(self, account_id: str) -> None:
        time = asyncio.get_running_loop().time() + self._wait_for_postponed(account_id)
        self._set(account_id, self._units[account_id].notify(time))

    def _ages(self, account_ids: Iterable[str]) -> dict[str, float]:
        """Seconds since each account was last read, by its cursor."""
        now, second = self._config.now().timestamp(), self._cursors.second
        return {account_id: now - (second(account_id) or -math.inf) for account_id in account_ids}

    def _set(self, account_id: str, record: Record, grace: float | None = None) -> None:
        if grace is None:
            # An early turn is noticed too.
            goes_first = record.is_noticed or self._manager.calculator.unfinished(account_id)
            grace = 0.0 if goes_first else self._config.max_wait.total_seconds()
        self._units.set(account_id, record, grace)
        self._executor.freed.set()

    def _start_ready(self, task: Task, now: float) -> None:
        spent = sum(1 + len(work_item.backfill_variants) for work_item in self._running.values())
        while (account_id := self._units.first(now)) is not None:
            record = self._units[account_id]
            begun = record.begin(now, self._paused_until(account_id))
            if begun.is_running:
                spent += self._manager.calculator.count_subtasks(account_id)
                if spent > self._config.max_subtasks:
                    return
                work_item = self._manager.create_work_item(account_id)
                work_item.is_early = record.is_early
                if record.is_noticed:
                    work_item.noticed.set()
                self._running[account_id] = work_item
                task.spawn_child(account_id, closing(functools.partial(self._run_item, work_item)))
            self._units.set(account_id, begun)

    def _end_time_slices(self, now: float) -> float:
        """Where an account waits for others to end, asks those whose time slice is over to yield. Returns
        when the next slice is over."""
        if self._units.first(now) is None:
            return math.inf
        time_slice = self._config.time_slice.total_seconds()
        ends = {key: self._units[key].time + time_slice for key in self._running}
        for account_id, end_time in ends.items():
            if end_time <= now:
                self._running[account_id].cancellation_event.set()
        return min((end_time for end_time in ends.values() if end_time > now), default=math.inf)

    async def _run_item(self, work_item: WorkItem, task: Task) -> None:
        await self._executor.execute_work_item(work_item, task)
        account_id = work_item.account_id
        del self._running[account_id]
        record, now = self._units[account_id], asyncio.get_running_loop().time()
        if work_item.has_failed:
            record = record.fail(max(now, self._paused_until(account_id)))
        else:
            if self._config.pauses is not None:
                self._config.pauses.end(self._executor.unit(account_id))
            record = record.end(now, self._next_time(work_item, now), self._cursors.second(account_id))
        self._set(account_id, record.notice(now) if work_item.noticed.is_set() else record)

    def _next_time(self, work_item: WorkItem, now: float) -> float:
        """When the account of a work item that has ended is to have its next turn, by the loop's clock;
        infinity where it waits for something to read."""
        if work_item.caught_up_time is None or work_item.has_backfill_work():
            return now
        if self._config.poller is None:
            return work_item.caught_up_time + self._interval
        return now + self._wait_for_postponed(work_item.account_id)

    def _paused_until(self, account_id: str) -> float:
        """The loop's time until which the account is paused; in the past where it is not."""
        pauses = self._config.pauses
        return -math.inf if pauses is None else pauses.until_time(self._executor.unit(account_id))

    def _wait_for_postponed(self, account_id: str) -> float:
        """The seconds until something that was postponed is due, infinity where nothing is. A window has a
        second at least: where the poller has just moved the cursor, none is to be read before."""
        postponed = self._config.postponed
        wait = None if postponed is None else postponed.wait(account_id, self._config.now())
        return math.inf if wait is None else max(MIN_INTERVAL, wait).total_seconds()


def open_binding_with_priority_queue(
    binding: Binding,
    binding_index: int,
    resource_state: ResourceState,
    task: Task,
    all_account_ids: list[str],
    fetch_changes_factory: FetchChangesFnFactory,
    fetch_page_factory: FetchPageFnFactory | FetchPageFnFactoryWithSuffix,
    fetch_snapshot: FetchSnapshotFn[Any] | None = None,
    tombstone: BaseDocument | None = None,
    config: PriorityQueueConfig | None = None,
    backfill_subtask_suffixes: list[str] | None = None,
) -> Scheduler:
    """Captures a binding over all of `all_account_ids`, as the CDK's `open_binding` does for one account.
    `resource_state` is keyed by account (see state/shapes.py) and holds a cursor for each of them. With
    `backfill_subtask_suffixes`, each account's backfill has one variant for each suffix and
    `fetch_page_factory` takes the suffix too. Snapshots are not captured account by account. Returns the
    scheduler, to be notified of what was read early."""
    if fetch_snapshot is not None or tombstone is not None:
        raise NotImplementedError("snapshots of connected accounts are not supported")
    config = config or PriorityQueueConfig()
    suffixes = backfill_subtask_suffixes or [""]
    if config.max_subtasks < 1 + len(suffixes):
        raise ValueError(f"max_subtasks must be at least {1 + len(suffixes)}: an account's own subtasks")
    manager = WorkItemManager(
        resource_state, fetch_changes_factory, fetch_page_factory, backfill_subtask_suffixes
    )
    executor = SubtaskExecutor(binding, binding_index, resource_state, suffixes, config)
    scheduler = Scheduler(manager, executor, all_account_ids, config)
    if config.poller is not None:
        config.poller.subscribe(scheduler, executor.interval)
    name = ".".join(binding.resourceConfig.path())
    task.spawn_child(f"{name}.accounts", scheduler.run)
    return scheduler
