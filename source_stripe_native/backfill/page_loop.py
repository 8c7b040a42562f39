"""The loop over a backfill's pages: one for slices and for connected accounts' variants.

Rule: the loop does what the CDK's own backfill loop does (a test runs the same cases through both), and in
addition it yields when its work item is cancelled. It ends with an outcome. Only `COMPLETED` clears the
state, in the checkpoint and then in memory; a backfill that yielded is picked up again at its last
checkpoint.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from enum import Enum, auto
from typing import Any, Protocol, cast

from estuary_cdk.capture.common import (
    FetchPageFn,
    RecurringFetchPageFn,
    ResourceConfigWithSchedule,
    ResourceState,
    is_recurring_fetch_page_fn,
)
from estuary_cdk.capture.task import Task
from estuary_cdk.flow import CaptureBinding

from source_stripe_native.flow.output import capture
from source_stripe_native.protocols import AnyFetchPageFn
from source_stripe_native.state.shapes import ConnectorState
from source_stripe_native.state.windows import Window
from source_stripe_native.stripe.pages import Page, PageToken

Binding = CaptureBinding[ResourceConfigWithSchedule]


class Outcome(Enum):
    """How a backfill ended when it did not fail."""

    COMPLETED = auto()
    YIELDED = auto()


class PageHooks(Protocol):
    """What a backfill asks before each of its pages, and reports after it."""

    async def before_page(self, token: PageToken | None) -> PageToken | None:
        """The token to read at instead of `token`, which is the one of the last checkpoint."""

    def after_page(self, page: Page, window: Window, documents: int) -> None:
        """A page of the list of `window` was read, which made so many documents."""


async def run_page_loop(
    binding: Binding,
    binding_index: int,
    fetch_page: AnyFetchPageFn,
    state: ResourceState.Backfill,
    state_key: str,
    last_initialized: datetime | None,
    is_connector_initiated: bool,
    task: Task,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Captures page after page under the key `state_key` of the binding's backfill state. Yields between
    pages when the capture stops, or when `is_cancelled`. Raises RuntimeError where the fetch function breaks
    the CDK's contract."""

    def checkpoint(at: ResourceState.Backfill | None) -> ConnectorState:
        return ConnectorState(bindingStateV1={binding.stateKey: ResourceState(backfill={state_key: at})})

    fields = {"state_key": state_key, "state": state, "last_initialized": last_initialized}
    if state.next_page is not None:
        task.log.debug("resuming backfill", fields)
    else:
        task.log.debug("beginning backfill", fields)

    fetch = _as_fetch_page(fetch_page, state, is_connector_initiated, task)
    done = False
    while not done:
        await asyncio.sleep(0)
        if task.stopping.event.is_set() or is_cancelled():
            task.log.debug("backfill is yielding", {"state_key": state_key})
            return Outcome.YIELDED
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
                await task.checkpoint(checkpoint(state))
                if task.stopping.event.is_set() or is_cancelled():
                    break

    await task.checkpoint(checkpoint(None))
    task.log.debug("completed backfill", {"state_key": state_key})
    return Outcome.COMPLETED


def _as_fetch_page(
    fetch_page: AnyFetchPageFn, state: ResourceState.Backfill, is_connector_initiated: bool, task: Task
) -> Callable[[], AsyncGenerator[Any, None]]:
    """Decides once whether the function takes a fourth argument; the CDK decides that for each page."""
    page, cutoff = state.next_page, state.cutoff
    if is_recurring_fetch_page_fn(fetch_page, task.log, page, cutoff, is_connector_initiated):
        recurring = cast(RecurringFetchPageFn[Any], fetch_page)
        return lambda: recurring(task.log, state.next_page, state.cutoff, is_connector_initiated)
    plain = cast(FetchPageFn[Any], fetch_page)
    return lambda: plain(task.log, state.next_page, state.cutoff)
