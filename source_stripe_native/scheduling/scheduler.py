"""The scheduler: fair scheduling of one binding's capture over many connected accounts.

Each account in its turn is a work item: one incremental subtask, and one backfill subtask for each variant
that is unfinished. Work items run side by side within a number of subtasks. Accounts that are backfilling go
first, but an account that only has changes to follow goes before those that became ready `max_wait` after it:
the queue is ordered by deadline, so that no account starves. A work item that takes longer than its time
slice while others wait yields at its next checkpoint and is queued again.
"""

import asyncio
import functools
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from estuary_cdk.capture.common import BaseDocument, FetchSnapshotFn, ResourceState
from estuary_cdk.capture.task import Task

from source_stripe_native.backfill.page_loop import Binding
from source_stripe_native.items import closing
from source_stripe_native.protocols import (
    FetchChangesFnFactory,
    FetchPageFnFactory,
    FetchPageFnFactoryWithSuffix,
)
from source_stripe_native.scheduling.account_queue import AccountQueue, WorkItemPriority
from source_stripe_native.scheduling.queue_config import MIN_INTERVAL, PriorityQueueConfig
from source_stripe_native.scheduling.subtasks import SubtaskExecutor, wait_any
from source_stripe_native.scheduling.work_items import WorkItem, WorkItemManager
from source_stripe_native.state import ConnectorState
from source_stripe_native.window import Window, floor


class Scheduler:
    """The one coroutine that starts work items and takes their accounts back into the queue.

    With a poller, accounts that are not backfilling are queued only when there is something to read: where
    nothing concerns the binding, the poller's notification moves the cursor and costs no work item.
    """

    def __init__(
        self,
        manager: WorkItemManager,
        executor: SubtaskExecutor,
        account_ids: Sequence[str],
        config: PriorityQueueConfig,
    ) -> None:
        self._manager = manager
        self._executor = executor
        self._account_ids = account_ids
        self._config = config
        self._interval = max(executor.binding.resourceConfig.interval, MIN_INTERVAL).total_seconds()
        self._queue = AccountQueue(config.max_wait.total_seconds())
        self._running: dict[str, tuple[WorkItem, float]] = {}
        """The work item of each account whose turn it is, and when its time slice ends."""
        self._queued: set[str] = set()
        self._dirty: set[str] = set()
        """Accounts whose cursor moved without a document since it was last written."""
        self._added: list[str] = []
        self._poller = config.poller

    async def run(self, task: Task) -> None:
        clock, stopping, freed = asyncio.get_running_loop().time, task.stopping.event, self._executor.freed
        self._push_all(clock())
        flush_time = clock() + self._config.flush.total_seconds()
        while not stopping.is_set():
            freed.clear()
            if self._added:
                await self._start_added(task)
            if clock() >= flush_time:
                await self._flush(task)
                flush_time = clock() + self._config.flush.total_seconds()
            now = clock()
            self._start_ready(task, now)
            wake_time = [
                at for at in (self._queue.next_ready_time(), self._end_time_slices(now)) if at is not None
            ]
            if self._dirty:
                wake_time.append(flush_time)
            await wait_any(freed, stopping, at_most=max(0.0, min(wake_time) - now) if wake_time else None)
        await self._flush(task)

    def notify(self, account_id: str, window: Window, types: frozenset[str]) -> None:
        """Moves an account's cursor where nothing in `window` concerns this binding, and queues the account
        where something does."""
        if self._poller is None or account_id in self._running or account_id in self._queued:
            return
        state = self._cursor(account_id)
        if state is None or not isinstance(state.cursor, datetime) or floor(state.cursor) >= window.end:
            return
        if floor(state.cursor) < window.start or self._config.is_relevant(types):
            self._push(account_id, asyncio.get_running_loop().time())
            self._executor.freed.set()
            return
        state.cursor = window.end_at
        if not self._dirty:
            # Nothing was there to be written, so that nothing would wake the scheduler to write it.
            self._executor.freed.set()
        self._dirty.add(account_id)

    def add_accounts(self, account_ids: Sequence[str]) -> None:
        self._added.extend(account_ids)
        self._executor.freed.set()

    async def _start_added(self, task: Task) -> None:
        added, self._added = self._added, []
        for account_id in added:
            await self._executor.start_account(account_id, task)
            self._push(account_id, asyncio.get_running_loop().time())

    async def _flush(self, task: Task) -> None:
        """Writes the cursors of accounts that had nothing new. An account whose turn it is may have documents
        under way that no checkpoint covers yet: its own next checkpoint counts."""
        cursor_dirty = self._dirty - self._running.keys()
        cursors = {each: state for each in sorted(cursor_dirty) if (state := self._cursor(each)) is not None}
        self._dirty -= cursor_dirty
        if cursors:
            key = self._executor.binding.stateKey
            await task.checkpoint(ConnectorState(bindingStateV1={key: ResourceState(inc=dict(cursors))}))

    def _cursor(self, account_id: str) -> ResourceState.Incremental | None:
        inc = self._manager.resource_state.inc
        return inc.get(account_id) if isinstance(inc, dict) else None

    def _push_all(self, now: float) -> None:
        """The first turns: the account that was not read for the longest time goes first, and one that was
        read within the last interval waits for the rest of it unless it is backfilling."""
        ages = {account_id: self._age(account_id) for account_id in self._account_ids}
        for account_id in sorted(ages, key=ages.__getitem__, reverse=True):
            rest = min(max(0.0, self._interval - ages[account_id]), self._interval)
            idle = self._manager.calculator.get_account_priority(account_id) is WorkItemPriority.INCREMENTAL
            if not idle:
                self._push(account_id, now)
            elif self._poller is None:
                self._push(account_id, now + rest)

    def _age(self, account_id: str) -> float:
        """Seconds since the account was last read, as far as its cursor tells."""
        state = self._cursor(account_id)
        if state is None or not isinstance(state.cursor, datetime):
            return math.inf
        return (self._config.now() - state.cursor).total_seconds()

    def _push(self, account_id: str, ready_time: float) -> None:
        self._queued.add(account_id)
        self._queue.push(account_id, self._manager.calculator.get_account_priority(account_id), ready_time)

    def _start_ready(self, task: Task, now: float) -> None:
        spent = sum(work_item.cost for work_item, _ in self._running.values())
        while (account_id := self._queue.first(now)) is not None:
            spent += self._manager.calculator.count_subtasks(account_id)
            if spent > self._config.max_subtasks:
                return
            self._queue.pop()
            self._queued.discard(account_id)
            work_item = self._manager.create_work_item(account_id)
            self._running[account_id] = work_item, now + self._config.time_slice.total_seconds()
            task.spawn_child(account_id, closing(functools.partial(self._run_item, work_item)))

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
        del self._running[work_item.account_id]
        if work_item.cursor_dirty:
            self._dirty.add(work_item.account_id)
        now = asyncio.get_running_loop().time()
        if work_item.is_refused:
            self._push(work_item.account_id, now + self._config.refused_interval.total_seconds())
        elif (
            work_item.caught_up_time is None
            or work_item.has_backfill_work()
            or self._has_more_events(work_item)
        ):
            self._push(work_item.account_id, now)
        elif self._poller is None:
            self._push(work_item.account_id, work_item.caught_up_time + self._interval)
        self._executor.freed.set()

    def _has_more_events(self, work_item: WorkItem) -> bool:
        """Whether more was read of the account while its turn lasted."""
        high_watermark = self._poller.high_watermark(work_item.account_id) if self._poller else None
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

    `resource_state` is keyed by account (see state.py) and holds a cursor for each of them. With
    `backfill_subtask_suffixes`, each account's backfill has one variant for each suffix and
    `fetch_page_factory` takes the suffix too. Snapshots are not captured account by account.
    """
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
    task.connector_status.inc_binding_count()
    for account_id in all_account_ids:
        for _ in manager.calculator.unfinished(account_id):
            task.connector_status.inc_backfilling(binding_index)
    scheduler = Scheduler(manager, executor, all_account_ids, config)
    if config.poller is not None:
        config.poller.subscribe(scheduler, binding.resourceConfig.interval, task)
    task.spawn_child(f"{'.'.join(binding.resourceConfig.path())}.accounts", scheduler.run)
