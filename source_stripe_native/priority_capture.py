"""Fair scheduling of one binding's capture over many connected accounts.

Each account in its turn is a work item: one incremental subtask, and one backfill subtask for each variant
that is unfinished. Items run side by side within a budget of subtasks. Accounts that are backfilling go
first, but one that only has changes to follow goes before those that were queued `max_wait` after it: the
queue is ordered by deadline, so nobody starves. An item that takes longer than its time slice while others
wait yields at its next checkpoint and is queued again.

A variant ends completed or yielded. Only a completed one is cleared, in the checkpoint and then in memory;
one that was cancelled, or that stopped with the capture, is picked up again where its last checkpoint left
it.
"""

import asyncio
import functools
import heapq
import itertools
import math
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
    pop_cursor_marker,
)
from estuary_cdk.capture.task import Task
from estuary_cdk.cron import CONNECTOR_RESTART_INTERVAL, next_fire
from estuary_cdk.flow import CaptureBinding
from estuary_cdk.logger import OBSERVABLE_FIELD
from estuary_cdk.utils import json_merge_patch

from source_stripe_native.protocols import FetchChangesFnFactory, FetchPageFnFactory, Rounds
from source_stripe_native.protocols import FetchPageFnFactoryWithSuffix as FetchPageFnFactoryWithSuffix
from source_stripe_native.state import fresh
from source_stripe_native.window import Window, floor

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
    flush: timedelta = timedelta(minutes=1)
    """How often the cursors of accounts that had nothing new are written, all in one checkpoint."""
    hears: Callable[[frozenset[str]], bool] = bool
    """Whether new events of these types are anything to the binding."""
    rounds: Rounds | None = None
    """Who tells of events and of new accounts. Without them each account is looked at once per interval."""
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
    caught_up_at: float | None = None
    """When the incremental subtask last had nothing more to read, in seconds of the loop's clock; None while
    it has."""
    moved: bool = False
    """Whether the cursor moved without a document, which is still to be checkpointed."""
    backfill_requested: bool = False
    """Whether the incremental subtask found that only a new backfill can tell what changed."""

    def has_backfill_work(self) -> bool:
        return len(self.backfill_variants) > 0

    @property
    def cost(self) -> int:
        """Its subtasks that still run."""
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
    only have changes to follow. Whatever becomes ready later than an account's deadline goes after it.

    Pure: times are arguments, in seconds of one monotonic clock.
    """

    def __init__(self, max_wait: float) -> None:
        self._max_wait = max_wait
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, str, float]] = []
        self._ready: list[tuple[float, int, float, str]] = []

    def push(
        self, account_id: str, priority: WorkItemPriority, ready_at: float, *, grace: float | None = None
    ) -> None:
        """`grace` is how long others may go before the account, where it is not for its priority to say."""
        if grace is None:
            grace = self._max_wait if priority is WorkItemPriority.INCREMENTAL else 0.0
        heapq.heappush(self._waiting, (ready_at, next(self._order), account_id, grace))

    def first(self, now: float) -> str | None:
        """The account whose turn it is, which stays queued; None while nobody is ready."""
        while self._waiting and self._waiting[0][0] <= now:
            ready_at, order, account_id, grace = heapq.heappop(self._waiting)
            heapq.heappush(self._ready, (ready_at + grace, order, ready_at, account_id))
        return self._ready[0][3] if self._ready else None

    def pop(self) -> str:
        """Takes out the account that `first` returned."""
        return heapq.heappop(self._ready)[3]

    def longest_wait(self, now: float) -> float:
        """Seconds for which an account has been ready at most, zero where none is."""
        self.first(now)
        return max((now - ready_at for _, _, ready_at, _ in self._ready), default=0.0)

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
        self.freed = asyncio.Event()
        """Set when a subtask has ended, so that another may begin."""
        if resource_state.backfill is None:
            resource_state.backfill = {}
        assert isinstance(resource_state.backfill, dict), "connected accounts have a backfill each"
        self._backfills = resource_state.backfill

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
        if work_item.backfill_requested:
            # Anew, cursor and all, once its subtasks have ended.
            await self.begin(work_item.account_id, task)

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
        self._backfills[variant.state_key(work_item.account_id)] = None
        work_item.backfill_variants.remove(variant)
        self.freed.set()
        task.connector_status.dec_backfilling(self.binding_index)
        if self.binding_index not in task.connector_status.binding_backfill_counts:
            self._keep_schedule(task)
        if not work_item.has_backfill_work():
            # Only the backfill kept the item: its incremental subtask need not sleep through the interval.
            work_item.cancellation_event.set()

    async def _execute_incremental_subtask(self, work_item: WorkItem, task: Task) -> None:
        await _binding_incremental_task_of_account(
            self.binding, self.binding_index, work_item, task, self.config.now
        )

    async def begin(self, account_id: str, task: Task) -> None:
        """Begins the account's capture from nothing: a backfill, and changes from now on."""
        begin = fresh(self.suffixes, self.config.now().replace(microsecond=0))
        backfill = {f"{account_id}{suffix}": at for suffix, at in begin.backfill.items()}
        await task.checkpoint(
            ConnectorState(
                bindingStateV1={
                    self.binding.stateKey: ResourceState(inc={account_id: begin.inc}, backfill=backfill)
                }
            )
        )
        assert isinstance(self.resource_state.inc, dict), "connected accounts have a cursor each"
        self.resource_state.inc[account_id] = begin.inc
        for key, state in backfill.items():
            if self._backfills.get(key) is None:
                task.connector_status.inc_backfilling(self.binding_index)
            self._backfills[key] = state

    def _keep_schedule(self, task: Task) -> None:
        """Once the whole backfill is done: the capture ends when the next one comes due, to be restarted for
        it, and at once if it is overdue."""
        schedule, now = self.binding.resourceConfig.schedule, self.config.now()
        last_initialized = self.resource_state.last_initialized
        if last_initialized is not None and next_fire(schedule, last_initialized, now):
            task.log.info("the next scheduled backfill came due during this one: restarting for it")
            task.stopping.event.set()
        elif fires_at := next_fire(schedule, now, now + CONNECTOR_RESTART_INTERVAL):
            delay = (fires_at - now).total_seconds()
            asyncio.get_running_loop().call_later(delay, task.stopping.event.set)


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

    def progress(at: ResourceState.Backfill | None) -> State:
        return ConnectorState(bindingStateV1={binding.stateKey: ResourceState(backfill={state_key: at})})

    fields = {"state_key": state_key, "state": variant.state, "last_initialized": last_initialized}
    if variant.state.next_page is not None:
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
            done = _capture(item, binding_index, task)
            if not done:
                await task.checkpoint(progress(_advance(variant.state, item)))

    await task.checkpoint(progress(None))
    task.log.info("completed backfill", {"state_key": state_key})
    return Outcome.COMPLETED


def _pages(variant: BackfillVariant, is_connector_initiated: bool, task: Task) -> AsyncGenerator[Any, None]:
    fetch, state = variant.fetch_fn, variant.state
    if is_recurring_fetch_page_fn(fetch, task.log, state.next_page, state.cutoff, is_connector_initiated):
        recurring = cast(RecurringFetchPageFn[Any], fetch)
        return recurring(task.log, state.next_page, state.cutoff, is_connector_initiated)
    return cast(FetchPageFn[Any], fetch)(task.log, state.next_page, state.cutoff)


def _advance(state: ResourceState.Backfill, cursor: Any) -> ResourceState.Backfill:
    """Moves `state` on to the page at `cursor` and returns what to checkpoint of it: where cursors are dicts,
    each is a merge patch of the one before and only the patch is kept."""
    if cursor is None:
        raise RuntimeError(
            "a fetch of pages yielded None as a cursor: after the last page it must only return"
        )
    if not isinstance(cursor, dict):
        state.next_page = cursor
        return state
    patch = pop_cursor_marker(cursor)
    if state.next_page is None:
        state.next_page = patch
        return state
    if not isinstance(state.next_page, dict):
        raise RuntimeError(
            f"a fetch of pages yielded the cursor {patch!r} after {state.next_page!r} of another type"
        )
    json_merge_patch(state.next_page, patch)
    return ResourceState.Backfill(cutoff=state.cutoff, next_page=patch)


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
            work_item.caught_up_at = None
            cancelled.set()
            return
        cursor = work_item.incremental_state.cursor
        behind = checkpoints > 0 and (not isinstance(cursor, datetime) or now() - cursor > interval)
        work_item.caught_up_at = None if behind else asyncio.get_running_loop().time()
        if not behind:
            if not work_item.has_backfill_work():
                return
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
            checkpoints += 1
            # A cursor that has moved over nothing can wait to be written along with those of other accounts.
            work_item.moved = not pending and not work_item.has_backfill_work()
            if not work_item.moved:
                await task.checkpoint(progress)
            pending = False
    if pending:
        raise RuntimeError("a fetch of changes yielded documents without a cursor after them")
    return checkpoints


def _later(cursor: Any, previous: Any) -> Any:
    """`cursor`, once it is seen to move forward. Those that begin with text have no order."""
    pair = (cursor, previous)
    ordered = any(all(isinstance(each, kind) for each in pair) for kind in (int, datetime))
    if not (ordered or all(isinstance(each, tuple) and isinstance(each[0], str) for each in pair)):
        raise RuntimeError(
            f"a fetch of changes yielded the cursor {cursor!r} after {previous!r} of another type"
        )
    if ordered and not cursor > previous:
        raise RuntimeError(
            f"a fetch of changes yielded the cursor {cursor!r}, which is not later than {previous!r}"
        )
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
    """The one coroutine that starts work items and takes their accounts back into the queue.

    With rounds, accounts that are not backfilling are queued only when there is something to read: what
    costs nothing more than a cursor is done where it is heard of.
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
        self._moved: set[str] = set()
        """Accounts whose cursor moved without a document since it was last written."""
        self._adopted: list[str] = []
        self._rounds = config.rounds

    async def run(self, task: Task) -> None:
        clock, stopping, freed = asyncio.get_running_loop().time, task.stopping.event, self._executor.freed
        self._push_all(clock())
        flush_at = clock() + self._config.flush.total_seconds()
        while not stopping.is_set():
            freed.clear()
            if self._adopted:
                await self._begin_adopted(task)
            if clock() >= flush_at:
                await self._flush(task)
                flush_at = clock() + self._config.flush.total_seconds()
            now = clock()
            self._start_ready(task, now)
            wake_at = [at for at in (self._queue.next_ready_at(), self._end_slices(now)) if at is not None]
            if self._moved:
                wake_at.append(flush_at)
            await wait_any(freed, stopping, at_most=max(0.0, min(wake_at) - now) if wake_at else None)
        await self._flush(task)

    def offer(self, account_id: str, window: Window, types: frozenset[str]) -> None:
        """Takes an account's cursor on where nothing in `window` is for this binding, and queues the account
        where something is."""
        if self._rounds is None or account_id in self._running or account_id in self._queued:
            return
        state = self._cursor(account_id)
        if state is None or not isinstance(state.cursor, datetime) or floor(state.cursor) >= window.end:
            return
        if floor(state.cursor) < window.start or self._config.hears(types):
            self._push(account_id, asyncio.get_running_loop().time())
            self._executor.freed.set()
            return
        state.cursor = window.end_at
        if not self._moved:
            # Nothing was there to be written, so that nothing would wake the scheduler to write it.
            self._executor.freed.set()
        self._moved.add(account_id)

    def adopt(self, account_ids: Sequence[str]) -> None:
        self._adopted.extend(account_ids)
        self._executor.freed.set()

    async def _begin_adopted(self, task: Task) -> None:
        adopted, self._adopted = self._adopted, []
        for account_id in adopted:
            await self._executor.begin(account_id, task)
            self._push(account_id, asyncio.get_running_loop().time())

    async def _flush(self, task: Task) -> None:
        """Writes the cursors of accounts that had nothing new. An account whose turn it is may have documents
        under way that no checkpoint covers yet: its own next checkpoint counts."""
        moved = self._moved - self._running.keys()
        cursors = {each: state for each in sorted(moved) if (state := self._cursor(each)) is not None}
        self._moved -= moved
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
            elif self._rounds is None:
                self._push(account_id, now + rest)

    def _age(self, account_id: str) -> float:
        """Seconds since the account was last read, as far as its cursor tells."""
        state = self._cursor(account_id)
        if state is None or not isinstance(state.cursor, datetime):
            return math.inf
        return (self._config.now() - state.cursor).total_seconds()

    def _push(self, account_id: str, ready_at: float) -> None:
        self._queued.add(account_id)
        self._queue.push(account_id, self._manager.calculator.get_account_priority(account_id), ready_at)

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
            task.spawn_child(account_id, functools.partial(self._run_item, work_item))

    def _end_slices(self, now: float) -> float | None:
        """Where an account waits for others to end, asks those whose time slice is over to yield. Returns
        when the next slice is over."""
        if self._queue.first(now) is None:
            return None
        for work_item, slice_end in self._running.values():
            if slice_end <= now:
                work_item.cancellation_event.set()
        return min((end for _, end in self._running.values() if end > now), default=None)

    async def _run_item(self, work_item: WorkItem, task: Task) -> None:
        await self._executor.execute_work_item(work_item, task)
        del self._running[work_item.account_id]
        if work_item.moved:
            self._moved.add(work_item.account_id)
        now = asyncio.get_running_loop().time()
        if work_item.caught_up_at is None or work_item.has_backfill_work() or self._has_heard_more(work_item):
            self._push(work_item.account_id, now)
        elif self._rounds is None:
            self._push(work_item.account_id, work_item.caught_up_at + self._interval)
        self._executor.freed.set()

    def _has_heard_more(self, work_item: WorkItem) -> bool:
        """Whether more was read of the account while its turn lasted."""
        until = self._rounds.until(work_item.account_id) if self._rounds else None
        cursor = work_item.incremental_state.cursor
        return until is not None and isinstance(cursor, datetime) and floor(cursor) < until


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
    scheduler = _Scheduler(manager, executor, all_account_ids, config)
    if config.rounds is not None:
        config.rounds.follow(scheduler, binding.resourceConfig.interval, task)
    task.spawn_child(f"{'.'.join(binding.resourceConfig.path())}.accounts", scheduler.run)
