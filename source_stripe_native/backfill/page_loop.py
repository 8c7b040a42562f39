"""The loop over a backfill's pages: one for slices and for connected accounts' variants.

Rule: the loop does what the CDK's own backfill loop does (a test runs the same cases through both), and in
addition it yields when its work item is cancelled. Only a backfill that is complete clears the state, in the
checkpoint and then in memory; one that yielded is picked up again at its last checkpoint.

The loops of a single account, the CDK's own among them, know nothing of pauses and end at the first failure
of their fetch function. `with_pauses` makes a function that pauses and goes on.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from logging import Logger
from typing import Any, Protocol, cast

from estuary_cdk.capture.common import (
    FetchPageFn,
    LogCursor,
    PageCursor,
    RecurringFetchPageFn,
    ResourceConfigWithSchedule,
    ResourceState,
    is_recurring_fetch_page_fn,
)
from estuary_cdk.capture.task import Task
from estuary_cdk.flow import CaptureBinding
from pydantic import BaseModel

from source_stripe_native.flow.output import capture
from source_stripe_native.flow.waits import stops_within
from source_stripe_native.protocols import AnyFetchPageFn, Failures
from source_stripe_native.state.parts import cursor_time
from source_stripe_native.state.shapes import ConnectorState
from source_stripe_native.state.windows import Window, floor
from source_stripe_native.stripe.pages import Page, PageToken

Binding = CaptureBinding[ResourceConfigWithSchedule]


class PageHooks(Protocol):
    """What a backfill asks before each of its pages, and reports after it."""

    async def before_page(self, token: PageToken | None) -> PageToken | None:
        """The token to read at instead of `token`, which is the one of the last checkpoint."""

    def after_page(self, page: Page, window: Window, documents: int) -> None:
        """A page of the list of `window` was read, which made so many documents."""


def state_under(binding: Binding, key: str, at: ResourceState.Backfill | None) -> ConnectorState:
    """The state of a binding's backfill under `key`, None once it is complete."""
    return ConnectorState(bindingStateV1={binding.stateKey: ResourceState(backfill={key: at})})


async def run_page_loop(
    binding_index: int,
    fetch_page: AnyFetchPageFn,
    state: ResourceState.Backfill,
    state_of: Callable[[ResourceState.Backfill | None], BaseModel],
    is_connector_initiated: bool,
    task: Task,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> bool:
    """Captures page after page from `state` on. `state_of` makes of it what a checkpoint writes, and of None
    what says that all is read. Yields between pages when the capture stops, or when `is_cancelled`. Returns
    whether the backfill is complete. Raises RuntimeError where the fetch function breaks the CDK's
    contract."""

    def fetch() -> AsyncGenerator[Any, None]:
        page, cutoff = state.next_page, state.cutoff
        if is_recurring_fetch_page_fn(fetch_page, task.log, page, cutoff, is_connector_initiated):
            recurring = cast(RecurringFetchPageFn[Any], fetch_page)
            return recurring(task.log, page, cutoff, is_connector_initiated)
        return cast(FetchPageFn[Any], fetch_page)(task.log, page, cutoff)

    done = False
    while not done:
        await asyncio.sleep(0)
        if task.stopping.event.is_set() or is_cancelled():
            task.log.debug("backfill is yielding", {"state": state})
            return False
        done = True
        async with aclosing(fetch()) as items:
            async for item in items:
                done = capture(item, binding_index, task)
                if done:
                    del item  # which would be held while its checkpoint is written
                    continue
                if not isinstance(item, str):
                    raise RuntimeError(
                        f"a fetch of pages yielded {item!r}, which is neither document nor cursor"
                    )
                state.next_page = item
                await task.checkpoint(state_of(state))
                if task.stopping.event.is_set() or is_cancelled():
                    break

    await task.checkpoint(state_of(None))
    task.log.debug("completed backfill", {"state": state})
    return True


def with_pauses(
    fetch_page: FetchPageFn[Any], failures: Failures, stopping: asyncio.Event
) -> FetchPageFn[Any]:
    """`fetch_page`, which pauses where it fails. Raises only what ends the capture.

    A loop takes a function that yields nothing for a backfill that is complete: where the capture stops
    during a pause, the place of the failed page is therefore yielded once more."""

    async def fetch(log: Logger, page: PageCursor, cutoff: LogCursor) -> AsyncGenerator[Any, None]:
        while True:
            try:
                async with aclosing(fetch_page(log, page, cutoff)) as items:
                    async for item in items:
                        yield item
                        page = item if isinstance(item, str) else page
                        del item  # which would be held while the next one is awaited
            except Exception as error:  # noqa: BLE001 - what concerns more than this backfill is raised again
                rest = await failures.pause(error)
            else:
                failures.end()
                return
            if await stops_within(rest, stopping):
                yield str(page or PageToken(None, floor(cursor_time(cutoff))))
                return

    return fetch
