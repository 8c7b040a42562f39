"""The loop over a binding's changes: one for a single account, and the sweep that connected accounts share.

Rule: the loop does what the CDK's own incremental loop does (a test runs the same cases through both), with
two differences. The CDK's loop rests before its first reading. This one reads at once, so that changes are
not late after a restart. And it goes by Stripe's clock: by the machine's, a cursor may seem to lie days
ahead, and the CDK's loop sleeps until then. Here a rest is never longer than the interval.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging import Logger
from typing import Any

from estuary_cdk.capture.common import (
    FetchChangesFn,
    LogCursor,
    ResourceConfigWithSchedule,
    ResourceState,
    Triggers,
)
from estuary_cdk.capture.task import Task
from estuary_cdk.flow import CaptureBinding

from source_stripe_native.flow.output import Commit, capture, later
from source_stripe_native.flow.waits import stops_within
from source_stripe_native.protocols import Failures
from source_stripe_native.state.shapes import ConnectorState, StatePatch

FetchEarlyFn = Callable[[Logger, LogCursor], AsyncGenerator[Any, None]]


@dataclass(frozen=True)
class EarlyChanges:
    """What a loop captures while it rests. Made by a binding whose capture gets notices: it sets `notified`
    once the newest events have been read and some of them concern the binding."""

    fetch: FetchEarlyFn
    notified: asyncio.Event


async def sweep(
    fetch_changes: FetchChangesFn[Any],
    state: ResourceState.Incremental,
    binding: CaptureBinding[Any],
    binding_index: int,
    task: Task,
    checkpoint: Callable[[bool], Awaitable[None]],
) -> int | None:
    """Calls the fetch function once and returns the number of its cursors, None where it asks for a new
    backfill. Each cursor is put into `state` before `checkpoint` is called, with whether documents came
    before it. Raises RuntimeError where the fetch function breaks the CDK's contract."""
    cursors, pending = 0, False
    async with aclosing(fetch_changes(task.log, state.cursor)) as items:
        async for item in items:
            if capture(item, binding_index, task):
                pending = True
            elif isinstance(item, Commit):
                await commit(item, binding, task)
            elif item is Triggers.BACKFILL:
                return None
            else:
                state.cursor = later(item, state.cursor)
                cursors += 1
                await checkpoint(pending)
                pending = False
    if pending:
        raise RuntimeError("a fetch of changes yielded documents without a cursor after them")
    return cursors


async def capture_early(
    fetch_early: FetchEarlyFn, cursor: LogCursor, binding: CaptureBinding[Any], binding_index: int, task: Task
) -> None:
    """Captures the newest changes before the cursor comes to them, with checkpoints that move no cursor."""
    async with aclosing(fetch_early(task.log, cursor)) as items:
        async for item in items:
            if not capture(item, binding_index, task):
                await commit(item, binding, task)


async def commit(item: Commit, binding: CaptureBinding[Any], task: Task) -> None:
    entries = {"snapshot": item.entries} if item.entries else {}
    await task.checkpoint(StatePatch(bindingStateV1={binding.stateKey: entries}))


async def follow_changes(
    binding: CaptureBinding[ResourceConfigWithSchedule],
    binding_index: int,
    fetch_changes: FetchChangesFn[Any],
    state: ResourceState.Incremental,
    now: Callable[[], datetime],
    failures: Failures,
    task: Task,
    early: EarlyChanges | None = None,
) -> None:
    """Follows a single account's changes until the capture stops. `now` is Stripe's clock, less the part of
    the lag that does not make a cursor older (`windows.uncounted_lag`). Where the fetch function asks for a
    new backfill, requests one in the state and stops the capture, which then starts again. A failure pauses
    the loop, and what was read of its window is dropped: the window is read again. While the loop rests, it
    captures what comes `early`."""
    interval, stopping = binding.resourceConfig.interval, task.stopping.event
    progress = ConnectorState(bindingStateV1={binding.stateKey: ResourceState(inc=state)})
    clock = asyncio.get_running_loop().time

    async def checkpoint(_: bool) -> None:
        await task.checkpoint(progress)

    task.log.debug("resuming incremental replication", {"state": state})
    until_time, notified = clock(), early.notified if early else asyncio.Event()
    others, was_early = [notified], False
    while not await stops_within(timedelta(seconds=until_time - clock()), stopping, *others):
        # In a busy account there is always a notice: a single one goes before a reading that is due.
        is_next, was_early = was_early and until_time <= clock(), False
        try:
            if early and others and notified.is_set() and not is_next:
                was_early = True
                notified.clear()
                await capture_early(early.fetch, state.cursor, binding, binding_index, task)
                continue
            cursors = await sweep(fetch_changes, state, binding, binding_index, task, checkpoint)
        except Exception as error:  # noqa: BLE001 - what concerns more than this loop is raised again
            task.reset()
            if was_early:
                notified.set()
            # Nothing is captured early during a pause.
            others, until_time = [], clock() + (await failures.pause(error)).total_seconds()
            continue
        failures.end()
        if cursors is None:
            task.log.debug("incremental task triggered backfill")
            stopping.set()
            await task.checkpoint(ConnectorState(backfillRequests={binding.stateKey: True}))
            return
        rest = time_to_rest(state.cursor, now(), interval) if cursors else interval
        others, until_time = [notified], clock() + rest.total_seconds()
    task.log.debug("incremental replication is yielding to stop")


def time_to_rest(cursor: LogCursor, now: datetime, interval: timedelta) -> timedelta:
    """The time until `cursor` is an `interval` old: none where it is older, an interval at most."""
    if not isinstance(cursor, datetime):
        return timedelta()
    return max(timedelta(), min(interval, interval - (now - cursor)))
