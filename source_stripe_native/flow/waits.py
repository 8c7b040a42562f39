"""Waiting: for events, for coroutines side by side, and for the end of a capture that stops."""

import asyncio
import math
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

from estuary_cdk.capture.task import Task

Result = TypeVar("Result")


async def wait_any(*events: asyncio.Event, at_most: float) -> None:
    """Returns when any of `events` is set, at the latest after `at_most` seconds, which may be infinite."""
    timeout = max(0.0, at_most) if at_most < math.inf else None
    waiters = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()


async def stops_within(rest: timedelta, stopping: asyncio.Event, *others: asyncio.Event) -> bool:
    """Whether the capture stops within `rest`, or before any of `others` is set. Returns as soon as it does.
    Where there is no rest, the others have their turn: several bindings may have found at once that they have
    to be backfilled again."""
    if stopping.is_set():
        return True
    if rest > timedelta():
        await wait_any(stopping, *others, at_most=rest.total_seconds())
        return stopping.is_set()
    await asyncio.sleep(0)
    return False


async def side_by_side(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The coroutines' results in their order. The first failure ends the others before it is raised. A
    cancellation is raised whatever fails along with it: in a TaskGroup the failure would take its place."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    if not tasks:
        return []
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        return [task.result() for task in tasks if task in done]
    finally:
        for task in tasks:
            task.cancel()
        await all_done(tasks)


async def all_done(futures: Sequence[asyncio.Future[Any]]) -> None:
    """Returns once all of them are done. A cancellation does not reach them, and is raised after that: a
    capture may be stopped while a failure ends what it concerns, and no task is left without an owner."""
    cancelled = list[asyncio.CancelledError]()
    while under_way := [future for future in futures if not future.done()]:
        try:
            await asyncio.wait(under_way)
        except asyncio.CancelledError as error:
            cancelled.append(error)
    for future in futures:
        # Or else Python would log failures that nobody asks for.
        _ = future.cancelled() or future.exception()
    if cancelled:
        raise cancelled[0]


@asynccontextmanager
async def ended_in_time(task: Task, patience: timedelta) -> AsyncIterator[None]:
    """Cancels the block once the capture has been stopping for `patience`, since a retry may take minutes.
    Nothing is lost: a document counts only with the checkpoint after it.

        asked                waited for                 cancelled
          |---- each ends at its next checkpoint ----|---- a write under way is ended (output.py) ----|
    """

    async def set_deadline() -> None:
        await task.stopping.event.wait()
        deadline.reschedule(asyncio.get_running_loop().time() + patience.total_seconds())

    try:
        async with asyncio.timeout(None) as deadline:
            watch = asyncio.create_task(set_deadline())
            try:
                yield
            finally:
                watch.cancel()
    except TimeoutError:
        if not deadline.expired():
            raise
        task.log.info("stopped in the middle: what was under way is done again at the next start")
