"""What ends the process from outside: SIGINT and SIGTERM.

Rule: a line of stdout that has begun is ended, and nothing new is begun. The process waits for that line
alone, for a few seconds where the reader has stalled, and leaves at once at a second signal. Nothing is lost:
the state is Flow's, and a document counts only with the checkpoint after it. Temporary files have no name, so
that none stays behind.

This module imports no other of the connector, so that the handlers can be installed before the rest is
imported.
"""

import os
import signal
import threading
from types import FrameType
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM)


class Lines:
    """The lines of stdout. `under_way` is held by the thread that writes, from a line's first byte to its
    last. None is begun once the process `is_ending`."""

    under_way: Final = threading.Lock()
    is_ending = False


def end_between_lines(patience: float = 0.0) -> None:
    """Ends the process at the first SIGINT or SIGTERM, with the exit code 130 or 143, as soon as no line is
    under way, at the latest after `patience` seconds.

    The handlers are explicit because the kernel ignores a signal without one in process 1 of a container.
    They are not the event loop's, which would wait for its turn."""

    def end(number: int, _frame: FrameType | None) -> None:
        if not Lines.is_ending:
            Lines.is_ending = True
            Lines.under_way.acquire(timeout=patience)  # a second signal interrupts it
        # Not by an exception: asyncio would wait for the thread that writes to stdout. A flush of stderr
        # could wait for its reader, and each log line has been flushed already.
        os._exit(128 + number)

    for number in ENDING:
        signal.signal(number, end)
