"""Fair scheduling of one binding's capture over many connected accounts.

Each account in its turn is a work item: one incremental subtask, and one backfill subtask for each variant
that is unfinished. Items run side by side within a budget of subtasks. Accounts that are backfilling go
first, but an account whose turn is overdue by `max_wait` goes before them: the queue is ordered by a
deadline, so nobody starves. An item that takes longer than its time slice while others wait yields at its
next checkpoint and is queued again.

A variant ends completed or yielded. Only a completed one is cleared, in the checkpoint and then in memory;
one that was cancelled, or that stopped with the capture, is picked up again where its last checkpoint left
it.
"""

import asyncio
import functools
import heapq
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, IntEnum, auto
from typing import Any, Final, cast

from estuary_cdk.capture.common import (
    AssociatedDocument,
    BaseDocument,
    ConnectorState,
    FetchChangesFn,
    FetchPageFn,
    FetchSnapshotFn,
    RecurringFetchPageFn,
    ResourceConfigWithSchedule,
    ResourceState,
    Triggers,
    is_cursor_dict,
    is_recurring_fetch_page_fn,
)
from estuary_cdk.capture.task import Task
from estuary_cdk.cron import next_fire
from estuary_cdk.flow import CaptureBinding
from estuary_cdk.logger import OBSERVABLE_FIELD

from source_stripe_native.protocols import (
    FetchChangesFnFactory,
    FetchPageFnFactory,
    FetchPageFnFactoryWithSuffix,
)
from source_stripe_native.state import fresh

Binding = CaptureBinding[ResourceConfigWithSchedule]
State = ConnectorState[ResourceState]
Clock = Callable[[], datetime]

MIN_INTERVAL: Final = timedelta(seconds=1)
"""An interval of zero must not keep the processor busy: Stripe's clock has whole seconds."""


def _utc_now() -> datetime:
    return datetime.now(tz=UTC)


@dataclass(frozen=True)
class PriorityQueueConfig:
    """Limits of one binding's scheduler. `now` is the clock of cursors and cutoffs."""

    max_subtasks: int = 64
    """Subtasks that run at once, incremental ones and variants together."""
    time_slice: timedelta = timedelta(minutes=1)
    """How long a work item runs before it yields to others that wait."""
    max_wait: timedelta = timedelta(minutes=10)
    """How long backfilling accounts go before an account that only has changes to follow."""
    now: Clock = _utc_now


class WorkItemPriority(IntEnum):
    """The lower goes first."""

    BACKFILL = 0
    INCREMENTAL = 1


class Outcome(Enum):
    """How a backfill variant's subtask ended when it did not fail."""

    COMPLETED = auto()
    YIELDED = auto()


@dataclass
class BackfillVariant:
    """One part of an account's backfill, such as its active prices: how it is fetched and how far it is."""

    suffix: str
    fetch_fn: FetchPageFn[Any] | RecurringFetchPageFn[Any]
    state: ResourceState.Backfill

    def state_key(self, account_id: str) -> str:
        return f"{account_id}{self.suffix}"


@dataclass
class WorkItem:
    """One account's turn. Setting `cancellation_event` asks its subtasks to yield at their next
    checkpoint."""

    account_id: str
    priority: WorkItemPriority
    incremental_fetch_fn: FetchChangesFn[Any]
    incremental_state: ResourceState.Incremental
    backfill_variants: list[BackfillVariant] = field(default_factory=list)
    cancellation_event: asyncio.Event = field(default_factory=asyncio.Event)
    caught_up: bool = False
    """Whether the incremental subtask has nothing more to read for now."""
    backfill_requested: bool = False
    """Whether the incremental subtask found that only a new backfill can tell what changed."""

    def has_backfill_work(self) -> bool:
        return len(self.backfill_variants) > 0

    @property
    def cost(self) -> int:
        return 1 + len(self.backfill_variants)


class PriorityCalculator:
    """What an account's turn would be, by its state: its priority, and its cost in subtasks."""

    def __init__(
        self, resource_state: ResourceState, backfill_subtask_suffixes: Sequence[str] | None = None
    ) -> None:
        self.resource_state = resource_state
        self.backfill_subtask_suffixes = list(backfill_subtask_suffixes or [""])

    def unfinished(self, account_id: str) -> dict[str, ResourceState.Backfill]:
        """The account's unfinished variants, by suffix."""
        backfill = self.resource_state.backfill
        if not isinstance(backfill, dict):
            return {}
        return {
            suffix: at
            for suffix in self.backfill_subtask_suffixes
            if isinstance(at := backfill.get(f"{account_id}{suffix}"), ResourceState.Backfill)
        }

    def get_account_priority(self, account_id: str) -> WorkItemPriority:
        return WorkItemPriority.BACKFILL if self.unfinished(account_id) else WorkItemPriority.INCREMENTAL

    def count_subtasks(self, account_id: str) -> int:
        return 1 + len(self.unfinished(account_id))


class AccountQueue:
    """Accounts waiting for their turn, by deadline: when they became ready, plus `max_wait` for those that
    only have changes to follow. Every account reaches the front in time, whatever is queued after it.

    Pure: times are arguments, in seconds of one monotonic clock.
    """

    def __init__(self, max_wait: float) -> None:
        self._max_wait = max_wait
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, str, WorkItemPriority]] = []
        self._ready: list[tuple[float, int, str]] = []

    def push(self, account_id: str, priority: WorkItemPriority, ready_at: float) -> None:
        heapq.heappush(self._waiting, (ready_at, next(self._order), account_id, priority))

    def first(self, now: float) -> str | None:
        """The account whose turn it is, which stays queued; None while nobody is ready."""
        while self._waiting and self._waiting[0][0] <= now:
            ready_at, order, account_id, priority = heapq.heappop(self._waiting)
            grace = self._max_wait if priority is WorkItemPriority.INCREMENTAL else 0.0
            heapq.heappush(self._ready, (ready_at + grace, order, account_id))
        return self._ready[0][2] if self._ready else None

    def pop(self) -> str:
        """Takes out the account that `first` returned."""
        return heapq.heappop(self._ready)[2]

    def next_ready_at(self) -> float | None:
        """When the next account becomes ready, None where none is waiting to be."""
        return self._waiting[0][0] if self._waiting else None


class WorkItemManager:
    """Makes an account's work item from the state, when its turn has come."""

    def __init__(
        self,
        resource_state: ResourceState,
        fetch_changes_factory: FetchChangesFnFactory,
        fetch_page_factory: FetchPageFnFactory | FetchPageFnFactoryWithSuffix,
        backfill_subtask_suffixes: Sequence[str] | None = None,
    ) -> None:
        self.resource_state = resource_state
        self.fetch_changes_factory = fetch_changes_factory
        self.calculator = PriorityCalculator(resource_state, backfill_subtask_suffixes)
        if backfill_subtask_suffixes is None:
            plain = cast(FetchPageFnFactory, fetch_page_factory)
            self.fetch_page_factory: FetchPageFnFactoryWithSuffix = lambda account_id, suffix: (
                plain(account_id) if suffix == "" else None
            )
        else:
            self.fetch_page_factory = cast(FetchPageFnFactoryWithSuffix, fetch_page_factory)

    def create_work_item(self, account_id: str) -> WorkItem:
        incremental = self.resource_state.inc
        assert isinstance(incremental, dict), "connected accounts have a cursor each"
        state = incremental[account_id]
        assert state is not None, f"{account_id} has no cursor: reconcile the state first"
        return WorkItem(
            account_id=account_id,
            priority=self.calculator.get_account_priority(account_id),
            incremental_fetch_fn=self.fetch_changes_factory(account_id),
            incremental_state=state,
            backfill_variants=self._get_backfill_work(account_id),
        )

    def _get_backfill_work(self, account_id: str) -> list[BackfillVariant]:
        return [
            BackfillVariant(suffix, fetch_fn, state)
            for suffix, state in self.calculator.unfinished(account_id).items()
            if (fetch_fn := self.fetch_page_factory(account_id, suffix)) is not None
        ]


class SubtaskExecutor:
    """Runs a work item's subtasks and keeps the state in memory in step with the checkpoints."""

    def __init__(
        self,
        binding: Binding,
        binding_index: int,
        resource_state: ResourceState,
        suffixes: Sequence[str],
        config: PriorityQueueConfig,
    ) -> None:
        self.binding = binding
        self.binding_index = binding_index
        self.resource_state = resource_state
        self.suffixes = suffixes
        self.config = config
        self.unfinished = sum(1 for at in self._backfills().values() if at is not None)
        """Variants still to be completed, of all accounts."""

    async def execute_work_item(self, work_item: WorkItem, task: Task) -> None:
        subtasks = [
            task.spawn_child(
                f"backfill.{variant.state_key(work_item.account_id)}",
                functools.partial(self._execute_backfill_variant, work_item, variant),
            )
            for variant in work_item.backfill_variants
        ]
        subtasks.append(
            task.spawn_child(
                f"incremental.{work_item.account_id}",
                functools.partial(self._execute_incremental_subtask, work_item),
            )
        )
        await asyncio.gather(*subtasks)
        if work_item.backfill_requested and task.stopping.first_error is None:
            await self._restart_backfill(work_item, task)

    async def _execute_backfill_variant(
        self, work_item: WorkItem, variant: BackfillVariant, task: Task
    ) -> None:
        outcome = await _binding_backfill_task_with_variant(
            self.binding,
            self.binding_index,
            variant,
            work_item.account_id,
            self.resource_state.last_initialized,
            self.resource_state.is_connector_initiated,
            task,
            work_item,
        )
        if outcome is Outcome.YIELDED:
            return
        self._backfills()[variant.state_key(work_item.account_id)] = None
        work_item.backfill_variants.remove(variant)
        self.unfinished -= 1
        task.connector_status.dec_backfilling(self.binding_index)
        if not work_item.has_backfill_work():
            # Only the backfill kept the item: its incremental subtask need not sleep through the interval.
            work_item.cancellation_event.set()

    async def _execute_incremental_subtask(self, work_item: WorkItem, task: Task) -> None:
        await _binding_incremental_task_of_account(
            self.binding, self.binding_index, work_item, task, self.config.now
        )

    async def _restart_backfill(self, work_item: WorkItem, task: Task) -> None:
        """Begins the account anew, cursor and all, once its subtasks have ended."""
        account_id = work_item.account_id
        begin = fresh(self.suffixes, self.config.now().replace(microsecond=0))
        backfill = {f"{account_id}{suffix}": at for suffix, at in begin.backfill.items()}
        await task.checkpoint(
            ConnectorState(
                bindingStateV1={
                    self.binding.stateKey: ResourceState(inc={account_id: begin.inc}, backfill=backfill)
                }
            )
        )
        assert begin.inc is not None
        work_item.incremental_state.cursor = begin.inc.cursor
        for key, state in backfill.items():
            if self._backfills().get(key) is None:
                self.unfinished += 1
                task.connector_status.inc_backfilling(self.binding_index)
            self._backfills()[key] = state

    def _backfills(self) -> dict[str, ResourceState.Backfill | None]:
        if not isinstance(self.resource_state.backfill, dict):
            self.resource_state.backfill = {}
        return self.resource_state.backfill


async def _binding_backfill_task_with_variant(
    binding: Binding,
    binding_index: int,
    variant: BackfillVariant,
    account_id: str,
    last_initialized: datetime | None,
    is_connector_initiated: bool,
    task: Task,
    work_item: WorkItem,
) -> Outcome:
    """Backfills one variant page by page, as the CDK's own backfill loop does, under its composite state key.
    Yields between pages when the capture stops or the work item is cancelled."""
    state_key = variant.state_key(account_id)
    state = variant.state
    progress: State = ConnectorState(
        bindingStateV1={binding.stateKey: ResourceState(backfill={state_key: state})}
    )
    fields = {"state_key": state_key, "state": state, "last_initialized": last_initialized}
    if state.next_page is not None:
        task.log.info("resuming backfill", fields)
    else:
        task.log.info(
            "beginning backfill",
            fields,
            extra={OBSERVABLE_FIELD: True, "catalog_task_name": task.catalog_task_name},
        )

    done = False
    while not done:
        await asyncio.sleep(0)
        if task.stopping.event.is_set() or work_item.cancellation_event.is_set():
            task.log.debug("backfill is yielding", {"state_key": state_key})
            return Outcome.YIELDED
        done = True
        async for item in _pages(variant, is_connector_initiated, task):
            if _capture(item, binding_index, task):
                done = True
                continue
            if item is None or isinstance(item, dict):
                raise RuntimeError(
                    f"a fetch of pages yielded the cursor {item!r}, which is not a page of a list"
                )
            state.next_page = item
            await task.checkpoint(progress)
            done = False

    await task.checkpoint(
        ConnectorState(bindingStateV1={binding.stateKey: ResourceState(backfill={state_key: None})})
    )
    task.log.info("completed backfill", {"state_key": state_key})
    return Outcome.COMPLETED


def _pages(variant: BackfillVariant, is_connector_initiated: bool, task: Task) -> AsyncGenerator[Any, None]:
    fetch, state = variant.fetch_fn, variant.state
    if is_recurring_fetch_page_fn(fetch, task.log, state.next_page, state.cutoff, is_connector_initiated):
        recurring = cast(RecurringFetchPageFn[Any], fetch)
        return recurring(task.log, state.next_page, state.cutoff, is_connector_initiated)
    return cast(FetchPageFn[Any], fetch)(task.log, state.next_page, state.cutoff)


def _capture(item: object, binding_index: int, task: Task) -> bool:
    """Captures `item` if it is a document; a cursor is left to the caller."""
    if isinstance(item, AssociatedDocument):
        task.captured(item.binding, item.doc)
    elif isinstance(item, BaseDocument) or (isinstance(item, dict) and not is_cursor_dict(item)):
        task.captured(binding_index, item)
    else:
        return False
    return True


async def _binding_incremental_task_of_account(
    binding: Binding, binding_index: int, work_item: WorkItem, task: Task, now: Clock
) -> None:
    """Follows one account's changes, as the CDK's own incremental loop does, until it has caught up; and on,
    once per interval, while the account's backfill goes on beside it."""
    interval = max(binding.resourceConfig.interval, MIN_INTERVAL)
    cancelled, stopping = work_item.cancellation_event, task.stopping.event
    while not stopping.is_set():
        checkpoints = await _sweep(binding, binding_index, work_item, task)
        if work_item.backfill_requested:
            cancelled.set()
            return
        cursor = work_item.incremental_state.cursor
        behind = not isinstance(cursor, datetime) or now() - cursor > interval
        work_item.caught_up = not (checkpoints and behind)
        if cancelled.is_set() or (work_item.caught_up and not work_item.has_backfill_work()):
            return
        if work_item.caught_up:
            await wait_any(cancelled, stopping, at_most=interval.total_seconds())
            if cancelled.is_set():
                return


async def _sweep(binding: Binding, binding_index: int, work_item: WorkItem, task: Task) -> int:
    """Calls the fetch function once and returns the number of checkpoints made."""
    state, checkpoints, pending = work_item.incremental_state, 0, False
    progress: State = ConnectorState(
        bindingStateV1={binding.stateKey: ResourceState(inc={work_item.account_id: state})}
    )
    async for item in work_item.incremental_fetch_fn(task.log, state.cursor):
        if _capture(item, binding_index, task):
            pending = True
        elif item is Triggers.BACKFILL:
            task.reset()
            work_item.backfill_requested = True
            return checkpoints
        else:
            state.cursor = _later(item, state.cursor)
            await task.checkpoint(progress)
            checkpoints += 1
            pending = False
    if pending:
        raise RuntimeError("a fetch of changes yielded documents without a cursor after them")
    return checkpoints


def _later(cursor: Any, previous: Any) -> Any:
    """`cursor`, once it is seen to move forward. Those that are tuples of text have no order."""
    if type(cursor) is not type(previous):
        raise RuntimeError(
            f"a fetch of changes yielded the cursor {cursor!r} after {previous!r} of another type"
        )
    if not isinstance(cursor, tuple) and not cursor > previous:
        raise RuntimeError(f"a fetch of changes yielded the cursor {cursor!r}, not later than {previous!r}")
    return cursor


async def wait_any(*events: asyncio.Event, at_most: float | None = None) -> None:
    """Returns when any of `events` is set, at the latest after `at_most` seconds."""
    waiters = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, timeout=at_most, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()


class _Scheduler:
    """The one coroutine that starts work items, takes them back, and keeps the binding's schedule."""

    def __init__(
        self,
        manager: WorkItemManager,
        executor: SubtaskExecutor,
        account_ids: Sequence[str],
        config: PriorityQueueConfig,
    ) -> None:
        self._manager = manager
        self._calculator = manager.calculator
        self._executor = executor
        self._account_ids = account_ids
        self._config = config
        self._interval = max(executor.binding.resourceConfig.interval, MIN_INTERVAL).total_seconds()
        self._queue = AccountQueue(config.max_wait.total_seconds())
        self._running: dict[str, tuple[WorkItem, int, float]] = {}
        self._wake = asyncio.Event()
        self._stop_at: datetime | None = None

    async def run(self, task: Task) -> None:
        loop = asyncio.get_running_loop()
        for account_id in self._account_ids:
            self._enqueue(account_id, loop.time(), caught_up=True, age=self._age(account_id))
        while not task.stopping.event.is_set():
            self._wake.clear()
            self._start_ready(task, loop.time())
            await wait_any(self._wake, task.stopping.event, at_most=self._patience(loop.time()))
            if self._stop_at is not None and self._config.now() >= self._stop_at:
                task.stopping.event.set()
        for work_item, _, _ in self._running.values():
            work_item.cancellation_event.set()

    def _age(self, account_id: str) -> float:
        """Seconds since the account was last read, as far as its cursor tells."""
        inc = self._manager.resource_state.inc
        state = inc.get(account_id) if isinstance(inc, dict) else None
        if state is None or not isinstance(state.cursor, datetime):
            return self._interval
        return (self._config.now() - state.cursor).total_seconds()

    def _enqueue(self, account_id: str, now: float, *, caught_up: bool, age: float) -> None:
        priority = self._calculator.get_account_priority(account_id)
        idle = caught_up and priority is WorkItemPriority.INCREMENTAL
        delay = min(max(0.0, self._interval - age), self._interval) if idle else 0.0
        self._queue.push(account_id, priority, now + delay)

    def _start_ready(self, task: Task, now: float) -> None:
        spent = sum(cost for _, cost, _ in self._running.values())
        while (account_id := self._queue.first(now)) is not None:
            cost = self._calculator.count_subtasks(account_id)
            if spent + cost > self._config.max_subtasks:
                self._end_slices(now)
                return
            self._queue.pop()
            work_item = self._manager.create_work_item(account_id)
            self._running[account_id] = (work_item, cost, now)
            spent += cost
            task.spawn_child(account_id, functools.partial(self._run_item, work_item))

    def _end_slices(self, now: float) -> None:
        limit = now - self._config.time_slice.total_seconds()
        for work_item, _, started in self._running.values():
            if started <= limit:
                work_item.cancellation_event.set()

    def _patience(self, now: float) -> float | None:
        """Seconds until there is something to do again unless an event says so before."""
        times: list[float] = []
        if self._queue.first(now) is not None:
            # Somebody waits for a slot: look again when the next slice ends that has not been ended yet.
            slice_ends = [
                started + self._config.time_slice.total_seconds()
                for work_item, _, started in self._running.values()
                if not work_item.cancellation_event.is_set()
            ]
            times.extend(slice_ends)
        if (ready_at := self._queue.next_ready_at()) is not None:
            times.append(ready_at)
        if self._stop_at is not None:
            times.append(now + (self._stop_at - self._config.now()).total_seconds())
        return max(0.0, min(times) - now) if times else None

    async def _run_item(self, work_item: WorkItem, task: Task) -> None:
        had_backfill = work_item.has_backfill_work()
        await self._executor.execute_work_item(work_item, task)
        if task.stopping.first_error is not None:
            return
        if had_backfill and self._executor.unfinished == 0:
            self._keep_schedule(task)
        del self._running[work_item.account_id]
        self._enqueue(
            work_item.account_id, asyncio.get_running_loop().time(), caught_up=work_item.caught_up, age=0.0
        )
        self._wake.set()

    def _keep_schedule(self, task: Task) -> None:
        """Once the whole backfill is done: the capture restarts for the next one, at once if it is
        overdue."""
        config = self._executor.binding.resourceConfig
        last_initialized = self._executor.resource_state.last_initialized
        if last_initialized is None:
            return
        now = self._config.now()
        if next_fire(config.schedule, last_initialized, now):
            task.log.info("the next scheduled backfill came due during this one: restarting for it")
            task.stopping.event.set()
        else:
            self._stop_at = next_fire(config.schedule, now)


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
    for _ in range(executor.unfinished):
        task.connector_status.inc_backfilling(binding_index)
    scheduler = _Scheduler(manager, executor, all_account_ids, config)
    task.spawn_child(f"{'.'.join(binding.resourceConfig.path())}.accounts", scheduler.run)
