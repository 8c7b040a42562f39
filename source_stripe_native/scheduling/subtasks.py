"""Subtasks: how a work item's backfill variants and its incremental subtask are run.

Rule: state in memory follows the checkpoints, never the other way round. Only a completed variant is cleared;
one that yielded is picked up again at its last checkpoint.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from estuary_cdk.capture.common import ResourceState
from estuary_cdk.capture.task import Task

from source_stripe_native.backfill.page_loop import Binding, run_page_loop, state_under
from source_stripe_native.config import MIN_INTERVAL
from source_stripe_native.events.change_loop import capture_early, sweep
from source_stripe_native.flow.output import closing
from source_stripe_native.flow.waits import wait_any
from source_stripe_native.scheduling.pauses import Unit
from source_stripe_native.scheduling.work_items import BackfillVariant, PriorityQueueConfig, WorkItem
from source_stripe_native.state.cursors import AccountNumbers, Cursors
from source_stripe_native.state.parts import cursor_time
from source_stripe_native.state.shapes import ConnectorState, new_account_state
from source_stripe_native.state.windows import floor


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
        self.interval = max(binding.resourceConfig.interval, MIN_INTERVAL)
        self.freed = asyncio.Event()
        """Set when a subtask has ended, so that another one may start."""
        if resource_state.backfill is None:
            resource_state.backfill = {}
        assert isinstance(resource_state.backfill, dict), "connected accounts have a backfill each"
        self._backfills = resource_state.backfill
        self._cursors = Cursors.of(resource_state, AccountNumbers())

    async def execute_work_item(self, work_item: WorkItem, task: Task) -> None:
        def spawn(name: str, subtask: Callable[[Task], Awaitable[None]]) -> Awaitable[None]:
            return task.spawn_child(name, closing(functools.partial(self._execute, work_item, subtask)))

        backfills = [
            spawn(
                f"backfill.{variant.state_key(work_item.account_id)}",
                functools.partial(self._execute_backfill_variant, work_item, variant),
            )
            for variant in work_item.backfill_variants
        ]
        incremental = functools.partial(self._execute_incremental_subtask, work_item)
        await asyncio.gather(*backfills, spawn(f"incremental.{work_item.account_id}", incremental))
        if work_item.backfill_requested:
            # From nothing, with a new cursor, once its subtasks have ended.
            await self.start_account(work_item.account_id, task, again=True)

    async def _execute(
        self, work_item: WorkItem, subtask: Callable[[Task], Awaitable[None]], task: Task
    ) -> None:
        """Runs a subtask. A failure pauses the unit and ends its turn: state and cursor stay as they are.
        Raises what ends the capture."""
        try:
            await subtask(task)
        except Exception as error:
            if self.config.pauses is None:
                raise
            task.reset()
            await self.config.pauses.pause(self.unit(work_item.account_id), error)
            work_item.has_failed = True
            work_item.cancellation_event.set()

    async def _execute_backfill_variant(
        self, work_item: WorkItem, variant: BackfillVariant, task: Task
    ) -> None:
        is_complete = await _binding_backfill_task_with_variant(
            self.binding,
            self.binding_index,
            variant,
            work_item.account_id,
            self.resource_state.last_initialized,
            self.resource_state.is_connector_initiated,
            task,
            work_item,
        )
        if not is_complete:
            return
        self._backfills[variant.state_key(work_item.account_id)] = None
        work_item.backfill_variants.remove(variant)
        self.freed.set()
        if not work_item.has_backfill_work():
            # Only the backfill kept the item: its incremental subtask need not sleep through the interval.
            work_item.cancellation_event.set()

    async def _execute_incremental_subtask(self, work_item: WorkItem, task: Task) -> None:
        """Follows one account's changes, as the CDK's own incremental loop does, until it has caught up; and
        on, once per interval, while the account's backfill goes on beside it."""
        clock, cancelled = asyncio.get_running_loop().time, work_item.cancellation_event
        poller, stopping = self.config.poller, task.stopping.event
        while not stopping.is_set():
            await self._capture_early(work_item, task)
            if work_item.is_early:
                work_item.caught_up_time = clock()
                return
            # As before the sweep: the scheduler sees to what is read meanwhile.
            high_watermark = poller.high_watermark(work_item.account_id) if poller else None
            cursors = await self._sweep(work_item, task)
            is_behind = cursors is None or (cursors > 0 and self._is_behind(work_item, high_watermark))
            work_item.caught_up_time = None if is_behind else clock()
            if not is_behind:
                if not work_item.has_backfill_work():
                    return
                until_time = clock() + self.interval.total_seconds()
                while not (cancelled.is_set() or stopping.is_set()) and (rest := until_time - clock()) > 0:
                    await wait_any(cancelled, stopping, work_item.noticed, at_most=rest)
                    await self._capture_early(work_item, task)
            if cancelled.is_set():
                return

    def _is_behind(self, work_item: WorkItem, high_watermark: int | None) -> bool:
        """Whether there is more to read after the cursor: what the poller had read or, without a poller, an
        interval and more."""
        cursor = cursor_time(work_item.incremental_state.cursor)
        if high_watermark is not None:
            return floor(cursor) < high_watermark
        return self.config.now() - cursor > self.interval

    async def _capture_early(self, work_item: WorkItem, task: Task) -> None:
        """Captures the newest changes where there was a notice."""
        if self.config.fetch_early is not None and work_item.noticed.is_set():
            work_item.noticed.clear()
            fetch, cursor = self.config.fetch_early(work_item.account_id), work_item.incremental_state.cursor
            try:
                await capture_early(fetch, cursor, self.binding, self.binding_index, task)
            except Exception:
                # The next turn begins with it: its own window need not reach as far.
                work_item.noticed.set()
                raise

    async def _sweep(self, work_item: WorkItem, task: Task) -> int | None:
        """Calls the fetch function once and returns the number of its cursors. None where it asks for a new
        backfill, for which the work item ends."""
        account_id, state = work_item.account_id, work_item.incremental_state
        part = ResourceState(inc={account_id: state})
        progress = ConnectorState(bindingStateV1={self.binding.stateKey: part})

        async def checkpoint(pending: bool) -> None:
            self._cursors[account_id] = state
            if pending and self.config.polls is not None:
                self.config.polls.record_find(account_id, self._cursors.second(account_id))
            if pending or work_item.has_backfill_work():
                self._cursors.set_dirty(account_id, is_dirty=False)
                await task.checkpoint(progress)
            else:
                self.write_later(account_id)

        fetch = work_item.incremental_fetch_fn
        cursors = await sweep(fetch, state, self.binding, self.binding_index, task, checkpoint)
        if cursors is None:
            task.reset()
            work_item.backfill_requested = True
            work_item.cancellation_event.set()
        return cursors

    def write_later(self, account_id: str) -> None:
        """Has a cursor that moved without a document written with those of other accounts."""
        if not self._cursors.is_dirty:
            # Nothing was there to be written, so that nothing would wake the scheduler to write it.
            self.freed.set()
        self._cursors.set_dirty(account_id, is_dirty=True)

    def unit(self, account_id: str) -> Unit:
        return Unit(self.binding.resourceConfig.name, account_id)

    async def start_account(self, account_id: str, task: Task, *, again: bool = False) -> None:
        """Starts the account's capture from nothing: a backfill, and changes from now on. `again` says that
        the backfill is a repeat, which the binding's state then says of all accounts: it is safe for all."""
        initial = new_account_state(self.suffixes, self.config.now())
        backfill = {f"{account_id}{suffix}": at for suffix, at in initial.backfill.items()}
        state = ResourceState(inc={account_id: initial.inc}, backfill=backfill)
        if again:
            state.is_connector_initiated = self.resource_state.is_connector_initiated = True
        await task.checkpoint(ConnectorState(bindingStateV1={self.binding.stateKey: state}))
        assert initial.inc is not None, "a new account follows changes from now on"
        self._cursors[account_id] = initial.inc
        self._backfills |= backfill


async def _binding_backfill_task_with_variant(
    binding: Binding,
    binding_index: int,
    variant: BackfillVariant,
    account_id: str,
    last_initialized: datetime | None,
    is_connector_initiated: bool,
    task: Task,
    work_item: WorkItem,
) -> bool:
    """Backfills one variant page by page under its composite state key, until it is complete or the capture
    stops or the work item is cancelled. Returns whether it is complete."""
    state_key = variant.state_key(account_id)
    task.log.debug(
        "resuming backfill" if variant.state.next_page else "beginning backfill",
        {"state_key": state_key, "state": variant.state, "last_initialized": last_initialized},
    )
    return await run_page_loop(
        binding_index,
        variant.fetch_fn,
        variant.state,
        functools.partial(state_under, binding, state_key),
        is_connector_initiated,
        task,
        work_item.cancellation_event.is_set,
    )
