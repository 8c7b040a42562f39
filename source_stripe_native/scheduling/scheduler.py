"""The scheduler: fair scheduling of one binding's capture over many connected accounts.

Each account in its turn is a work item: one incremental subtask, and one backfill subtask for each variant
that is unfinished. Work items run side by side within a number of subtasks. Accounts that are backfilling go
first, by `max_wait` at most (turns.py). A work item that takes longer than its time slice while others wait
yields at its next checkpoint and is queued again.
"""

import asyncio
import functools
import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

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
from source_stripe_native.scheduling.turns import AccountQueue
from source_stripe_native.scheduling.work_items import PriorityQueueConfig, WorkItem, WorkItemManager
from source_stripe_native.state.parts import state_of
from source_stripe_native.state.shapes import ConnectorState
from source_stripe_native.state.windows import Window, floor

GOLDEN_RATIO: Final = 0.618
"""Multiples of it, less whole numbers, are evenly spread however many there are."""


class Scheduler:
    """The one coroutine that starts a binding's work items and takes their accounts back into the queue.

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
        self._interval = max(executor.binding.resourceConfig.interval, MIN_INTERVAL).total_seconds()
        self._queue = AccountQueue(config.max_wait.total_seconds())
        self._running: dict[str, tuple[WorkItem, float]] = {}
        """The work item of each account whose turn it is, and when its time slice ends."""
        self._queued: dict[str, None] = {}
        self._resting: dict[str, float] = {}
        """Accounts that are queued only for what was postponed, each with the time at which it is ready."""
        self._missed: set[str] = set()
        """Accounts that had relevant events while it was their turn, where lists are polled."""
        self._noticed: set[str] = set()
        """Accounts with something to capture early."""
        self._early_turns: set[str] = set()
        """Accounts that are queued for that alone."""
        self._added: list[str] = []
        self._poller = config.poller

    async def run(self, task: Task) -> None:
        clock, stopping, freed = asyncio.get_running_loop().time, task.stopping.event, self._executor.freed
        self._push_all(clock())
        # All at once, the bindings would hold up everything else.
        shift = self._executor.binding_index * GOLDEN_RATIO % 1
        flush_time = clock() + (1 - shift) * self._config.flush.total_seconds()
        while not stopping.is_set():
            freed.clear()
            if self._added:
                await self._start_added(task)
            if clock() >= flush_time:
                await self._flush(task, self._config.flush_at_most)
                flush_time = clock() + self._config.flush.total_seconds()
            now = clock()
            self._start_ready(task, now)
            wake_time = [
                at for at in (self._queue.next_ready_time(), self._end_time_slices(now)) if at is not None
            ]
            if self._cursors.is_dirty:
                wake_time.append(flush_time)
            await wait_any(freed, stopping, at_most=max(0.0, min(wake_time) - now) if wake_time else None)
        await self._flush(task, at_most=None)

    def notify(self, account_id: str, window: Window, types: frozenset[str]) -> None:
        """Moves an account's cursor where nothing in `window` concerns this binding, and queues the account
        where something does. A cursor that waits for its lists stays where it is."""
        polls, is_relevant = self._config.polls, self._config.is_relevant(types)
        if polls is not None:
            if types:
                polls.record_events(account_id, window.end)
            if is_relevant and account_id in self._running:
                self._missed.add(account_id)
        if is_relevant:
            self._early_turns.discard(account_id)
        if self._poller is None or account_id in self._running or self._has_turn(account_id):
            return
        cursor = self._cursors.second(account_id)
        if not cursor or cursor >= window.end:
            return
        is_due = polls.is_due(account_id, cursor, window.end) if polls else cursor < window.start
        if is_relevant or is_due or self._config.reads_lists_in(account_id, Window(cursor, window.end)):
            # Of those that only their lists' turn brings there may be many at once.
            grace = 0.0 if polls is not None and is_relevant else None
            self._push(account_id, asyncio.get_running_loop().time(), grace)
            self._executor.freed.set()
            return
        if polls is not None:
            return
        self._cursors.move(account_id, window.end)
        if not self._cursors.is_dirty:
            # Nothing was there to be written, so that nothing would wake the scheduler to write it.
            self._executor.freed.set()
        self._cursors.mark_dirty(account_id)

    def notice(self, account_id: str, types: frozenset[str]) -> None:
        """The newest events of an account have been read early: captures them where one concerns the
        binding."""
        if not self._config.is_relevant(types) or not self._cursors.second(account_id):
            return
        if account_id in self._running:
            self._running[account_id][0].noticed.set()
        else:
            self._add_early(account_id)

    def _add_early(self, account_id: str) -> None:
        """Has the next turn of an account capture what came early: one of its own, unless it is queued."""
        self._noticed.add(account_id)
        if not self._has_turn(account_id):
            self._early_turns.add(account_id)
            self._push(account_id, asyncio.get_running_loop().time(), 0.0)
            self._executor.freed.set()

    def add_accounts(self, account_ids: Sequence[str]) -> None:
        self._added.extend(account_ids)
        self._executor.freed.set()

    def waiting(self) -> timedelta:
        """How long an account has waited for its turn, or has been behind while it lasts."""
        now, time_slice = asyncio.get_running_loop().time(), self._config.time_slice.total_seconds()
        ages = self._ages(self._running)
        turns = [
            min(now - end_time + time_slice, ages[account_id] - self._interval)
            for account_id, (_, end_time) in self._running.items()
        ]
        return timedelta(seconds=max([self._queue.longest_wait(now), *turns]))

    async def _start_added(self, task: Task) -> None:
        added, self._added = self._added, []
        for account_id in added:
            await self._executor.start_account(account_id, task)
            self._push(account_id, asyncio.get_running_loop().time())

    async def _flush(self, task: Task, at_most: int | None) -> None:
        """Writes the cursors of accounts that had nothing new. An account whose turn it is may have documents
        under way that no checkpoint covers yet: its own next checkpoint counts."""
        if cursors := self._cursors.take_dirty(at_most, but_for=self._running):
            key = self._executor.binding.stateKey
            await task.checkpoint(ConnectorState(bindingStateV1={key: state_of(inc=cursors)}))

    def _push_all(self, now: float) -> None:
        """The first turns: the account that was not read for the longest time goes first, and one that was
        read within the last interval waits for the rest of it unless it is backfilling."""
        backfilling = self._manager.calculator.backfilling(self._account_ids)
        # With a poller the others wait for something to read.
        waiting = self._account_ids if self._poller is None else backfilling
        ages = self._ages(waiting)
        for account_id in sorted(waiting, key=ages.__getitem__, reverse=True):
            rest = 0.0
            if account_id not in backfilling:
                rest = min(max(0.0, self._interval - ages[account_id]), self._interval)
            self._push(account_id, now + rest)
        for account_id in self._config.postponed.account_ids if self._config.postponed else ():
            wait = self._wait_for_postponed(account_id)
            if wait is not None and account_id not in self._queued:
                self._push(account_id, now + wait)
                self._resting[account_id] = now + wait

    def _ages(self, account_ids: Iterable[str]) -> dict[str, float]:
        """Seconds since each account was last read, by its cursor."""
        now, second = self._config.now().timestamp(), self._cursors.second
        return {account_id: now - (second(account_id) or -math.inf) for account_id in account_ids}

    def _push(self, account_id: str, ready_time: float, grace: float | None = None) -> None:
        self._queued[account_id] = None
        if self._resting.pop(account_id, None) is not None:
            self._queue.replace(account_id, ready_time)
            return
        priority = self._manager.calculator.get_account_priority(account_id)
        self._queue.push(account_id, priority, ready_time, grace=grace)

    def _has_turn(self, account_id: str) -> bool:
        """Whether the account is queued for whatever there is. One that rests is brought forward."""
        is_resting = self._resting.get(account_id, -math.inf) > asyncio.get_running_loop().time()
        return account_id in self._queued and not is_resting

    def _start_ready(self, task: Task, now: float) -> None:
        spent = sum(1 + len(work_item.backfill_variants) for work_item, _ in self._running.values())
        while (account_id := self._queue.first(now)) is not None:
            self._resting.pop(account_id, None)
            if (until_time := self._paused_until(account_id)) > now:
                self._queue.pop()
                self._push(account_id, until_time)
                continue
            spent += self._manager.calculator.count_subtasks(account_id)
            if spent > self._config.max_subtasks:
                return
            self._queue.pop()
            self._queued.pop(account_id, None)
            self._missed.discard(account_id)
            work_item = self._create_work_item(account_id)
            self._running[account_id] = work_item, now + self._config.time_slice.total_seconds()
            task.spawn_child(account_id, closing(functools.partial(self._run_item, work_item)))

    def _create_work_item(self, account_id: str) -> WorkItem:
        early = self._config.fetch_early
        work_item = self._manager.create_work_item(account_id, early and early(account_id))
        work_item.is_early = account_id in self._early_turns
        if account_id in self._noticed:
            work_item.noticed.set()
        self._early_turns.discard(account_id)
        self._noticed.discard(account_id)
        return work_item

    def _end_time_slices(self, now: float) -> float | None:
        """Where an account waits for others to end, asks those whose time slice is over to yield. Returns
        when the next slice is over."""
        if self._queue.first(now) is None:
            return None
        for work_item, slice_end_time in self._running.values():
            if slice_end_time <= now:
                work_item.cancellation_event.set()
        return min((end for _, end in self._running.values() if end > now), default=None)

    async def _run_item(self, work_item: WorkItem, task: Task) -> None:
        await self._executor.execute_work_item(work_item, task)
        account_id, cursor = work_item.account_id, work_item.incremental_state.cursor
        self._manager.release(work_item)
        del self._running[account_id]
        if work_item.cursor_dirty:
            self._cursors.mark_dirty(account_id)
        if self._config.polls is not None and work_item.has_found and isinstance(cursor, datetime):
            self._config.polls.record_find(account_id, floor(cursor))
        if not work_item.has_failed and self._config.pauses is not None:
            self._config.pauses.end(self._executor.unit(account_id))
        if (next_time := self._next_turn(work_item)) is not None:
            self._push(account_id, next_time)
            if self._poller is not None and not work_item.has_failed:
                self._resting[account_id] = next_time
        if work_item.noticed.is_set():
            self._add_early(account_id)
        self._executor.freed.set()

    def _next_turn(self, work_item: WorkItem) -> float | None:
        """When the account of a work item that has ended is to have its next turn, by the loop's clock; None
        where it waits for something to read."""
        account_id, now = work_item.account_id, asyncio.get_running_loop().time()
        if work_item.has_failed:
            return max(now, self._paused_until(account_id))
        if work_item.caught_up_time is None or work_item.has_backfill_work() or self._has_more(work_item):
            return now
        if self._poller is None:
            return work_item.caught_up_time + self._interval
        wait = self._wait_for_postponed(account_id)
        return None if wait is None else now + wait

    def _paused_until(self, account_id: str) -> float:
        """The loop's time until which the account is paused; in the past where it is not."""
        pauses = self._config.pauses
        return -math.inf if pauses is None else pauses.until_time(self._executor.unit(account_id))

    def _wait_for_postponed(self, account_id: str) -> float | None:
        """The seconds until something that was postponed is due, an interval at least."""
        postponed = self._config.postponed
        wait = None if postponed is None else postponed.wait(account_id, self._config.now())
        return None if wait is None else max(self._interval, wait.total_seconds())

    def _has_more(self, work_item: WorkItem) -> bool:
        """Whether the account needs another turn for what was read of it while its turn lasted."""
        if self._config.polls is not None:
            return work_item.account_id in self._missed
        high_watermark = self._config.high_watermark(work_item.account_id)
        cursor = work_item.incremental_state.cursor
        return high_watermark is not None and isinstance(cursor, datetime) and floor(cursor) < high_watermark


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
) -> None:
    """Captures a binding over all of `all_account_ids`, as the CDK's `open_binding` does for one account.
    `resource_state` is keyed by account (see state/shapes.py) and holds a cursor for each of them. With
    `backfill_subtask_suffixes`, each account's backfill has one variant for each suffix and
    `fetch_page_factory` takes the suffix too. Snapshots are not captured account by account."""
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
        config.poller.subscribe(scheduler, binding.resourceConfig.interval, task)
    if config.notice_reader is not None and config.fetch_early is not None:
        config.notice_reader.subscribe(scheduler.notice)
    name = ".".join(binding.resourceConfig.path())
    task.spawn_child(f"{name}.accounts", scheduler.run)
    if config.watch is not None:
        config.watch(scheduler.waiting)
