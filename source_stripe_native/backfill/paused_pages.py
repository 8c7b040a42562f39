"""Pages of a backfill that pauses after a failure and then goes on, in a loop that knows nothing of pauses.

The loops of a single account, the CDK's own among them, end at the first failure of their fetch function.
Here the function waits in its place. A loop takes a function that yields nothing for a backfill that is
complete: where the capture stops during a pause, the place of the failed page is therefore yielded once more.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from logging import Logger
from typing import Any

from estuary_cdk.capture.common import FetchPageFn, LogCursor, PageCursor

from source_stripe_native.flow.waits import stops_within
from source_stripe_native.protocols import Failures
from source_stripe_native.state.shapes import cursor_time
from source_stripe_native.state.windows import floor
from source_stripe_native.stripe.pages import PageToken


def with_pauses(
    fetch_page: FetchPageFn[Any], failures: Failures, stopping: asyncio.Event
) -> FetchPageFn[Any]:
    """`fetch_page`, which pauses where it fails. Raises only what ends the capture."""

    # A plain function, since the CDK asks for its signature with every page.
    def fetch(log: Logger, page: PageCursor, cutoff: LogCursor) -> AsyncGenerator[Any, None]:
        return _pages(fetch_page, failures, stopping, log, page, cutoff)

    return fetch


async def _pages(
    fetch_page: FetchPageFn[Any],
    failures: Failures,
    stopping: asyncio.Event,
    log: Logger,
    page: PageCursor,
    cutoff: LogCursor,
) -> AsyncGenerator[Any, None]:
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
