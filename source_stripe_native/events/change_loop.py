"""The loop over a binding's changes: one for a single account, and the sweep that connected accounts share.

Rule: the loop does what the CDK's own incremental loop does (a test runs the same cases through both), with
two differences. The CDK's loop rests before its first reading. This one reads at once, so that changes are
not late after a restart. And it goes by Stripe's clock: by the machine's, a cursor may seem to lie days
ahead, and the CDK's loop sleeps until then. Here a rest is never longer than the interval.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import datetime, timedelta
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
                entries = {"snapshot": item.entries} if item.entries else {}
                await task.checkpoint(StatePatch(bindingStateV1={binding.stateKey: entries}))
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


async def follow_changes(
    binding: CaptureBinding[ResourceConfigWithSchedule],
    binding_index: int,
    fetch_changes: FetchChangesFn[Any],
    state: ResourceState.Incremental,
    now: Callable[[], datetime],
    failures: Failures,
    task: Task,
) -> None:
    """Follows a single account's changes until the capture stops. `now` is Stripe's clock, less
    the part of the lag that does not make a cursor older (`windows.uncounted_lag`). Where the fetch function
    asks for a new backfill, requests one in the state and stops the capture, which then starts again. A
    failure pauses the loop, and what was read of its window is dropped: the window is read again."""
    interval, stopping = binding.resourceConfig.interval, task.stopping.event
    progress = ConnectorState(bindingStateV1={binding.stateKey: ResourceState(inc=state)})

    async def checkpoint(_: bool) -> None:
        await task.checkpoint(progress)

    task.log.debug("resuming incremental replication", {"state": state})
    rest = timedelta()
    while not await stops_within(rest, stopping):
        try:
            cursors = await sweep(fetch_changes, state, binding, binding_index, task, checkpoint)
        except Exception as error:  # noqa: BLE001 - what concerns more than this loop is raised again
            task.reset()
            rest = await failures.pause(error)
            continue
        failures.end()
        if cursors is None:
            task.log.debug("incremental task triggered backfill")
            stopping.set()
            await task.checkpoint(ConnectorState(backfillRequests={binding.stateKey: True}))
            return
        rest = time_to_rest(state.cursor, now(), interval) if cursors else interval
    task.log.debug("incremental replication is yielding to stop")


def time_to_rest(cursor: LogCursor, now: datetime, interval: timedelta) -> timedelta:
    """The time until `cursor` is an `interval` old: none where it is older, an interval at most."""
    if not isinstance(cursor, datetime):
        return timedelta()
    return max(timedelta(), min(interval, interval - (now - cursor)))
