"""How a capture stops: its tasks are asked, waited for, and then cancelled.

    asked                waited for                 cancelled
      |---- each ends at its next checkpoint ----|---- a write under way is ended (output.py) ----|

Rule: nothing is lost at any stage. A document counts only with the checkpoint after it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from estuary_cdk.capture.task import Task


@asynccontextmanager
async def ended_in_time(task: Task, patience: timedelta) -> AsyncIterator[None]:
    """Cancels the block once the capture has been stopping for `patience`, since a retry may take minutes."""

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
