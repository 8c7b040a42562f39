"""What ends the process from outside: SIGINT and SIGTERM.

Rule: the process leaves at once. It waits for nobody and writes nothing, since a reader that has stalled
would hold it for ever. Nothing is lost: the state is Flow's, and a document counts only with the checkpoint
after it. Temporary files have no name, so that none stays behind.

This module imports no other of the connector, so that the handlers can be installed before the rest is
imported.
"""

import os
import signal
from types import FrameType
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM)


def end_at_once() -> None:
    """Ends the process at the first SIGINT or SIGTERM, with the exit code 130 or 143.

    The handlers are explicit because the kernel ignores a signal without one in process 1 of a container.
    They are not the event loop's, which would wait for its turn."""
    for number in ENDING:
        signal.signal(number, _end)


def _end(number: int, _frame: FrameType | None) -> None:
    # Not by an exception: asyncio would wait for the thread that writes to stdout. A flush of stderr could
    # wait for its reader, and each log line has been flushed already.
    os._exit(128 + number)
