"""However a capture or its process ends, each line that was begun is whole, and so is the last transaction:
at each await, in each mode, whatever the reader does."""

import asyncio
import functools
import io
import itertools
import resource
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from logging import Logger
from typing import Any, Final, NoReturn, cast

import orjson
import pytest
from estuary_cdk.capture.common import ResourceState, open_binding
from estuary_cdk.capture.task import Task
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe import StripeServer, World
from source_stripe_native.backfill.page_loop import run_page_loop, state_under
from source_stripe_native.flow.output import WholeCommits, WholeLines, capture_task, closing
from source_stripe_native.flow.process import Lines
from source_stripe_native.flow.waits import ended_in_time
from source_stripe_native.scheduling.scheduler import open_binding_with_priority_queue
from tests.capture import Capture
from tests.cdk_task import binding, run_on_virtual_time, running_capture
from tests.test_process import CAPACITY, PROGRAM, SIGNALS, unread, until, waiting
from tests.test_secrets import open_request

CUTOFF: Final = datetime(2026, 5, 1, tzinfo=UTC)
STEPS: Final = 60
"""Turns of the loop in which each mode is stopped: more than it takes."""

# In this process, step by step


class Reader(ThreadPoolExecutor):
    """Flow as the reader of the output, in place of the threads that write. It takes what is written at once,
    or once it goes on after a stall, or it is gone."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)
        self.is_stalled = False
        self.is_gone = False
        self.writes: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        self.writes.append((future, functools.partial(fn, *args, **kwargs)))
        assert len(self.writes) == 1, "only one thread writes"
        if not self.is_stalled:
            self.go_on()
        return future

    def go_on(self) -> None:
        self.is_stalled = False
        for future, write in self.writes:
            try:
                future.set_result(_break() if self.is_gone else write())
            except (OSError, ValueError) as error:
                future.set_exception(error)
        self.writes.clear()


def _break() -> NoReturn:
    raise BrokenPipeError


async def pages(log: Logger, page: Any, cutoff: Any) -> AsyncGenerator[Any, None]:
    for number in range(3):
        yield {"id": f"{page}-{number}"}
    await asyncio.sleep(0)
    if page != "2":
        yield str(int(page or 0) + 1)


async def changes(log: Logger, cursor: Any) -> AsyncGenerator[Any, None]:
    yield {"id": f"changed at {cursor}"}
    yield cursor + timedelta(seconds=1)


def backfill() -> ResourceState.Backfill:
    return ResourceState.Backfill(cutoff=CUTOFF)


def open_single(task: Task) -> None:
    state = ResourceState(
        inc=ResourceState.Incremental(cursor=CUTOFF), backfill=backfill(), last_initialized=CUTOFF
    )
    open_binding(binding(), 0, state, task, fetch_changes=changes, fetch_page=pages)


def open_slices(task: Task) -> None:
    for suffix in ("_from_start", "_from_2024-05-01T00:00:00Z"):

        async def read(suffix: str, task: Task) -> None:
            await run_page_loop(
                0, pages, backfill(), functools.partial(state_under, binding(), suffix), False, task
            )

        task.spawn_child(suffix, closing(functools.partial(read, suffix)))


def open_accounts(task: Task) -> None:
    ids = ["acct_1", "acct_2"]
    state = ResourceState(
        inc={each: ResourceState.Incremental(cursor=CUTOFF) for each in ids},
        backfill={each: backfill() for each in ids},
    )
    open_binding_with_priority_queue(
        binding(), 0, state, task, ids, lambda account_id: changes, lambda account_id: pages
    )


MODES: Final = {"single": open_single, "slices": open_slices, "connected": open_accounts}


def is_whole(output: bytes) -> bool:
    """Whether an output is whole lines, and its last transaction whole."""
    lines = output.split(b"\n")
    return lines.pop() == b"" and (not lines or "checkpoint" in orjson.loads(lines[-1]))


async def stopped_at(step: int, mode: str, reader: Reader, change: str) -> bytes:
    """What a capture writes that is stopped and cancelled at a step. From there on the reader is as `change`
    says."""
    output = io.BytesIO()
    async with running_capture() as capture:
        asyncio.get_running_loop().set_default_executor(reader)

        async def run() -> None:
            patience = timedelta()
            async with ended_in_time(capture.task, patience), asyncio.TaskGroup() as group:
                MODES[mode](capture_task(capture.task, WholeCommits(cast(Any, output)), group))

        running = asyncio.create_task(run())
        for _ in range(step):
            await asyncio.sleep(0)
        reader.is_stalled, reader.is_gone = change == "stalled", change == "gone"
        for _ in range(3):
            await asyncio.sleep(0)
        capture.stopping.event.set()
        for _ in range(30):
            await asyncio.sleep(1e-6)
        assert running.done() == (not reader.writes), "only a write under way is waited for"
        reader.go_on()
        await running
    return output.getvalue()


@pytest.mark.parametrize("change", ["quick", "stalled", "gone"])
@pytest.mark.parametrize("mode", MODES)
def test_a_stop_at_any_await_leaves_whole_transactions(mode: str, change: str) -> None:
    stalled = 0
    for step in range(STEPS):
        reader = Reader()
        output = run_on_virtual_time(stopped_at(step, mode, reader, change))
        assert is_whole(output), step
        stalled += bool(output)
    assert stalled > STEPS / 2


# Lines


@given(st.lists(st.binary(max_size=9), min_size=1, max_size=6), st.data())
def test_no_line_is_begun_once_the_process_is_ending(lines: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(line.replace(b"\n", b"") + b"\n" for line in lines)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)))) | {0, len(whole)})
    parts = [whole[start:end] for start, end in itertools.pairwise(cuts)]
    ending = data.draw(st.integers(0, len(parts)))
    file = io.BytesIO()
    stdout = WholeLines(cast(Any, file))
    try:
        for number, part in enumerate(parts):
            Lines.is_ending = number >= ending
            assert stdout.write(part) == len(part)
            assert not Lines.under_way.locked(), "nothing of a line is written before all of it is there"
    finally:
        Lines.is_ending = False
    begun = b"".join(parts[:ending])
    assert file.getvalue() == begun[: begun.rfind(b"\n") + 1]


def test_a_write_that_fails_does_not_hold_up_the_end_of_the_process() -> None:
    file = io.BytesIO()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        WholeLines(cast(Any, file)).write(b"whole\n")
    assert not Lines.under_way.locked()


# Real processes

STOPPING: Final = """
from datetime import timedelta
from estuary_cdk.capture import base_capture_connector
base_capture_connector.PERIODIC_RESTART_INTERVAL = 3
""" + PROGRAM.replace("Settings(", "Settings(stop_patience=timedelta(milliseconds=200), ")
"""Stops by itself after three seconds, as the CDK has it do after a day."""
PATIENT: Final = "from datetime import timedelta\n" + PROGRAM.replace(
    "Settings(", "Settings(line_patience=timedelta(minutes=1), "
)
IMPATIENT: Final = "from datetime import timedelta\n" + PROGRAM.replace(
    "Settings(", "Settings(line_patience=timedelta(milliseconds=200), "
)


@asynccontextmanager
async def stalled(world: World, server: StripeServer, program: str, connected: bool) -> AsyncIterator[Any]:
    """A connector whose reader has stalled in the middle of a line."""
    accounts = [world.connect()["id"] for _ in range(2)] if connected else [world.platform]
    for account in accounts:
        for _ in range(3):
            world.create("charge", account, event=False, description="x" * 2 * CAPACITY)
    async with unread(server.url, program) as (process, pipe):
        assert process.stdin
        process.stdin.write(
            orjson.dumps(open_request(Capture(server, ["Charges"], connected=connected))) + b"\n"
        )
        await until(lambda: waiting(pipe) > CAPACITY - resource.getpagesize())
        yield process, pipe


def read_all(pipe: int) -> bytes:
    with open(pipe, "rb", closefd=False) as file:
        return file.read()


@pytest.mark.parametrize("connected", [False, True])
async def test_a_clean_stop_waits_for_the_write_that_its_reader_holds_up(
    world: World, server: StripeServer, connected: bool
) -> None:
    async with stalled(world, server, STOPPING, connected) as (process, pipe):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 4)
        output = await asyncio.to_thread(read_all, pipe)
        assert await process.wait() == 0
    assert is_whole(output)


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_ends_the_line_that_its_reader_takes_late_and_begins_none(
    world: World, server: StripeServer, number: signal.Signals
) -> None:
    async with stalled(world, server, PATIENT, connected=False) as (process, pipe):
        process.send_signal(number)
        await asyncio.sleep(0.1)
        output = await asyncio.to_thread(read_all, pipe)
        assert await process.wait() == 128 + number
    assert all(orjson.loads(line) for line in output.splitlines())
    assert output.endswith(b"\n")


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_does_not_wait_for_ever_for_a_reader_that_has_stalled(
    world: World, server: StripeServer, number: signal.Signals
) -> None:
    async with stalled(world, server, IMPATIENT, connected=False) as (process, _):
        process.send_signal(number)
        assert await process.wait() == 128 + number
        log = (await process.stderr.read()).decode()
    assert "Traceback" not in log
    assert "ERROR" not in log


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_second_signal_ends_the_process_at_once(
    world: World, server: StripeServer, number: signal.Signals
) -> None:
    async with stalled(world, server, PATIENT, connected=False) as (process, _):
        process.send_signal(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.3)
        process.send_signal(number)
        assert await process.wait() == 128 + number
