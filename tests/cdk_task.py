"""A real CDK Task on virtual time, and what Flow makes of its output: for tests of what runs in a Task.

Nothing waits in real time: a loop with nothing left to do fails, and so does one that spins. Output is
written at once instead of on a thread, which virtual time would leave behind.
"""

import asyncio
import copy
import io
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar, cast

import json_merge_patch
import looptime
import orjson
import pytest
from estuary_cdk.capture import _emit
from estuary_cdk.capture.common import ResourceConfigWithSchedule
from estuary_cdk.capture.connector_status import ConnectorStatus
from estuary_cdk.capture.task import Task
from estuary_cdk.capture.transactor import Transactor
from estuary_cdk.flow import CaptureBinding, CollectionSpec
from estuary_cdk.logger import FlowLogger

Json = dict[str, Any]
Result = TypeVar("Result")

STATE_KEY: Final = "Things"
MAX_READINGS: Final = 200_000
_LOOP: Final[Json] = {"idle_timeout": 0, "noop_cycles": 0}

# For a test without a loop, looptime asks for the current one, which Python would make and nobody close.
asyncio.set_event_loop(None)

on_virtual_time = pytest.mark.looptime(**_LOOP)


def run_on_virtual_time(main: Coroutine[Any, Any, Result]) -> Result:
    """Runs `main` on a loop of its own whose time begins at 0, for tests that do so many times."""
    loop = looptime.new_event_loop(**_LOOP)
    try:
        return loop.run_until_complete(main)
    finally:
        left = asyncio.all_tasks(loop)
        for each in left:
            each.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()


class AtOnce(ThreadPoolExecutor):
    """An executor without threads."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@dataclass
class Checkpoint:
    """One transaction: the documents that it covers, each with its binding's index, and the state's patch."""

    at: float
    documents: list[tuple[int, Json]]
    state: Json

    @property
    def binding_state(self) -> Json:
        return dict(self.state["bindingStateV1"][STATE_KEY])


class Output(io.RawIOBase):
    """The connector's stdout, as Flow reads it: documents count once a checkpoint follows them."""

    def __init__(self) -> None:
        self.checkpoints: list[Checkpoint] = []
        self.written = asyncio.Event()
        self._pending: list[tuple[int, Json]] = []
        self._rest = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        *lines, self._rest = (self._rest + bytes(data)).split(b"\n")
        for line in lines:
            response = orjson.loads(line)
            if captured := response.get("captured"):
                self._pending.append((captured["binding"], captured["doc"]))
            else:
                state = response["checkpoint"]["state"]["updated"]
                now = asyncio.get_running_loop().time()
                self.checkpoints.append(Checkpoint(now, self._pending, state))
                self._pending = []
                self.written.set()
        return len(data)

    @property
    def documents(self) -> list[tuple[int, Json]]:
        return [each for checkpoint in self.checkpoints for each in checkpoint.documents]


def merged(state: Json, checkpoints: list[Checkpoint]) -> Json:
    """The binding's `state` after `checkpoints`."""
    state = copy.deepcopy(state)
    for each in checkpoints:
        state = json_merge_patch.merge(state, each.binding_state)
    return state


@dataclass
class Capture:
    """A capture's root task and its output. Times are in seconds of the loop's clock."""

    task: Task
    output: Output
    readings: int = 0
    """How often the loop has read its clock: a few times for whatever woke it."""
    ended_at: float | None = None

    @property
    def stopping(self) -> Task.Stopping:
        return self.task.stopping

    async def until(self, holds: Callable[[Output], bool], *, seconds: float = 10) -> None:
        """Returns after a checkpoint with which `holds` holds. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not holds(self.output):
                self.output.written.clear()
                await self.output.written.wait()


@asynccontextmanager
async def running_capture() -> AsyncIterator[Capture]:
    """A capture that ends, once the block is left, when all of its tasks have."""
    # Of the CDK: one lock on stdout for the process, which has a single event loop where it is not a test.
    _emit._emit_lock = asyncio.Lock()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(AtOnce(max_workers=1))
    logging.setLoggerClass(FlowLogger)
    log = cast(FlowLogger, logging.getLogger("flow"))
    # The status is only counted: it would be logged every second until its own `stopping` is set.
    silent, stopping, output = Task.Stopping(), Task.Stopping(), Output()
    silent.event.set()
    pipe, status = cast(Any, output), ConnectorStatus(log, silent)
    with pytest.MonkeyPatch.context() as patch:
        async with asyncio.TaskGroup() as group:
            task = Task(log, status, "capture", pipe, stopping, group, Transactor(pipe), "acmeCo/things")
            capture = Capture(task, output)
            patch.setattr(loop, "time", _counted(loop.time, capture))
            yield capture
        capture.ended_at = loop.time()


def _counted(time: Callable[[], float], capture: Capture) -> Callable[[], float]:
    def counted() -> float:
        capture.readings += 1
        if capture.readings == MAX_READINGS:  # once, so that the loop can still be closed
            raise RuntimeError("the loop spins")
        # As a real clock this one moves on: a timer fires a hair early, and the rest of it must pass too.
        return time() + capture.readings * 1e-9

    return counted


def binding(interval: timedelta = timedelta(minutes=5)) -> CaptureBinding[ResourceConfigWithSchedule]:
    return CaptureBinding(
        collection=CollectionSpec(name="acmeCo/things", key=["/id"], writeSchema={}),
        resourceConfig=ResourceConfigWithSchedule(name="Things", interval=interval),
        resourcePath=["Things"],
        stateKey=STATE_KEY,
    )
