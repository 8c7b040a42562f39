"""The output: what fetch functions yield, and how it is written. What is used of the CDK's tasks, buffers and
transactor beyond their public names is here.

Rule: whatever ends the process or a task, each line that was begun is whole, and so is each transaction
unless a signal ends the process. A task that is cancelled while its transaction is written waits for the end
of the write, and only then gives up its buffer. A task that still waits for its turn to write is cancelled at
once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any, BinaryIO, Final, TypeVar

from estuary_cdk.capture.common import AssociatedDocument, BaseDocument
from estuary_cdk.capture.task import Response, Task
from estuary_cdk.capture.transactor import Transactor
from estuary_cdk.flow import ConnectorState

from source_stripe_native.flow.process import Lines
from source_stripe_native.flow.waits import all_done

Result = TypeVar("Result")

_CHECKPOINT: Final = Response[Any, Any, ConnectorState]  # type: ignore[valid-type] # unbound, as in the CDK
"""The class of which the CDK makes each checkpoint. pydantic forgets a class that nobody keeps: it would be
made anew after each collection of garbage, which takes two milliseconds."""


@dataclass(frozen=True)
class Commit:
    """What a fetch function yields to have its documents so far written in a checkpoint that moves no cursor.
    The merge patch of the binding's `snapshot` in the state is written with it."""

    entries: Mapping[str, Any] = field(default_factory=dict)


def capture(item: object, binding_index: int, task: Task) -> bool:
    """Captures `item` if it is a document. Returns False for a cursor, which is left to the caller."""
    if isinstance(item, AssociatedDocument):
        task.captured(item.binding, item.doc)
    elif isinstance(item, BaseDocument | dict):
        task.captured(binding_index, item)
    else:
        return False
    return True


def later(cursor: Any, previous: Any) -> datetime:
    """Returns `cursor`, a time that must be later than `previous`. Raises RuntimeError otherwise."""
    if isinstance(cursor, datetime) and isinstance(previous, datetime) and cursor > previous:
        return cursor
    raise RuntimeError(
        f"a fetch of changes yielded the cursor {cursor!r}, which is no time after {previous!r}"
    )


class WholeLines:
    """stdout as the CDK's thread writes to it: a line is written once all of it is there, so that a signal
    can end the process between two lines."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._begun: list[bytes] = []

    def write(self, data: bytes) -> int:
        end = data.rfind(b"\n") + 1
        # The signal's handler waits for the lines that are under way. Others are not begun any more.
        if end and not Lines.is_ending:
            with Lines.under_way:
                self._file.writelines([*self._begun, data[:end]])
                self._file.flush()
            self._begun.clear()
        self._begun.append(data[end:])
        return len(data)

    def flush(self) -> None:
        """Does nothing, as each write is flushed."""


class WholeCommits(Transactor):
    """The transactor of a capture, made when it opens. Each task's checkpoint calls `commit`. Transactions
    are written one after the other, each to its end."""

    def __init__(self, output: BinaryIO) -> None:
        super().__init__(output)
        self._turn = asyncio.Lock()

    async def commit(self, buffer: IO[bytes], wait_for_ack: bool = False) -> asyncio.Future[None] | None:
        async with self._turn:
            return await to_its_end(super().commit(buffer, wait_for_ack))


async def to_its_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Returns what `work` does. A cancellation does not reach it, and is raised after its end."""
    running = asyncio.ensure_future(work)
    await all_done([running])
    return running.result()


def capture_task(task: Task, commits: WholeCommits, group: asyncio.TaskGroup) -> Task:
    """The task in which a capture opens. It is the CDK's `task`, but its children run in `group`, and
    `commits` writes their transactions."""
    status, name = task.connector_status, task.catalog_task_name
    return Task(task.log, status, "capture", task._output, task.stopping, group, commits, name)


def closing(child: Callable[[Task], Awaitable[None]]) -> Callable[[Task], Awaitable[None]]:
    """`child`, to be spawned, as a coroutine that closes its task's buffer at its end. Nothing else may
    capture in that task."""

    async def run(task: Task) -> None:
        try:
            await child(task)
        finally:
            task._buffer.close()

    return run
