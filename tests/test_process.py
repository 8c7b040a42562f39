"""How the real process ends when something around it fails: at once at a signal, and with
one line that says what to do where its output, its disk or an object of Stripe's does not do."""

import asyncio
import fcntl
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import orjson
import pytest

from sandbox.stripe import StripeServer, World
from sandbox.stripe.faults import Fault
from sandbox.stripe.routes import Request, Response
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import Capture
from tests.conftest import NOW
from tests.test_bad_input import MODULE, ROOT, Bad, connector, mistakes
from tests.test_secrets import open_request
from tests.warm_python import python

SIGNALS = [signal.SIGINT, signal.SIGTERM]
PROGRAM = """
import resource, sys
from estuary_cdk.capture.task import Task
from source_stripe_native.__main__ import Settings, main
Task.MAX_BUFFER_MEM = 1_000
if len(sys.argv) > 1:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
limits = {each: 100_000 for each in ("requests_live", "requests_test", "requests_per_endpoint")}
main(Settings(batch_memory=1_000, **limits))
"""
"""The connector without what it owes to Stripe's limits, which keeps next to nothing in memory, and whose
files may have so many bytes."""
CAPACITY = 16 * resource.getpagesize()
"""What a pipe holds. It takes no more once less than a page is free."""


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - another process makes it so
        await asyncio.sleep(0.01)


# Signals


@asynccontextmanager
async def unread(url: str, program: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """The connector, and the pipe of its stdout, which nobody reads."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, CAPACITY)
    try:
        process = await asyncio.create_subprocess_exec(
            *(python(), "-c", program),
            stdin=asyncio.subprocess.PIPE,
            stdout=writer,
            stderr=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, API_BASE_VARIABLE: url},
        )
    finally:
        os.close(writer)
    try:
        async with asyncio.timeout(30):
            yield process, reader
    finally:
        os.close(reader)
        if process.returncode is None:
            process.kill()
        await process.wait()


def waiting(pipe: int) -> int:
    """The number of bytes in a pipe."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.parametrize("number", SIGNALS)
async def test_signal_ends_the_process_at_once_while_the_loop_is_busy(number: signal.Signals) -> None:
    busy = (
        "from source_stripe_native.flow import process\n"
        "process.end_between_lines()\nprint(flush=True)\nwhile True: pass"
    )
    async with connector({}, ["-c", busy]) as process:
        assert process.stdout
        await process.stdout.readline()
        process.send_signal(number)
        async with asyncio.timeout(1):
            assert await process.wait() == 128 + number


@pytest.mark.parametrize("number", SIGNALS)
async def test_signal_ends_a_process_that_waits_for_its_first_request(number: signal.Signals) -> None:
    """By a handler of its own: in process 1 of a container the kernel ignores a signal without one."""
    async with connector({}, cold=True) as process:
        assert process.stderr
        await until(lambda: catches(process.pid, number))
        process.send_signal(number)
        async with asyncio.timeout(1):
            assert await process.wait() == 128 + number
        assert await process.stderr.read() == b""


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for SIGTERM, which is not Python's own, and for the signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (mask,) = [int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:")]
    return all(mask >> (each - 1) & 1 for each in (signal.SIGTERM, number))


UNSHARE: Final = ("unshare", "--pid", "--fork", "--kill-child")


def may_unshare() -> bool:
    return (
        bool(shutil.which("unshare"))
        and not subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode
    )


def process_1_of(outer: int) -> int:
    """The id, seen from here, of the process that is 1 in the namespace that `outer` has made."""
    (inner,) = map(int, Path(f"/proc/{outer}/task/{outer}/children").read_text().split())
    assert re.search(r"NSpid:.*\t1\n", Path(f"/proc/{inner}/status").read_text())
    return inner


@pytest.mark.skipif(not may_unshare(), reason="no process namespace may be made here")
async def test_signal_ends_process_1_of_a_container_in_the_middle_of_a_retry(
    world: World, server: StripeServer
) -> None:
    """The kernel ignores a signal without a handler in process 1, so that only a handler can end it."""
    rule = Fault("/v1/charges", status=503, headers={"Retry-After": "60"})
    server.faults.set(rule)
    outer = await asyncio.create_subprocess_exec(
        *(*UNSHARE, sys.executable, "-c", PROGRAM),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, API_BASE_VARIABLE: server.url},
    )
    assert outer.stdin
    assert outer.stderr
    try:
        async with asyncio.timeout(30):
            outer.stdin.write(orjson.dumps(open_request(Capture(server, ["Charges"]))) + b"\n")
            await until(lambda: server.faults.fired(rule) > 0)
            os.kill(process_1_of(outer.pid), signal.SIGTERM)
            async with asyncio.timeout(2):
                assert await outer.wait() == 128 + signal.SIGTERM
            assert b"Traceback" not in await outer.stderr.read()
    finally:
        if outer.returncode is None:
            outer.kill()
        await outer.wait()


def test_the_container_runs_the_connector_itself_and_no_shell_that_would_keep_its_signals() -> None:
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert orjson.loads(entry) == ["python", *MODULE]


# What does not do


class DeepStripe(StripeServer):
    """Its objects are nested more deeply than a document can be written."""

    def _answer(self, request: Request, account: str, firing: list[Fault]) -> Response:
        answer = super()._answer(request, account, firing)
        deep = b'{"a":' * 300 + b"1" + b"}" * 300
        return replace(answer, body=answer.body.replace(b'"metadata":{}', b'"metadata":' + deep))


@dataclass(frozen=True)
class Trouble:
    """What a capture of `stream` meets: objects in its backfill, or changes in its events."""

    says: str
    stream: str = "Charges"
    changed: bool = False
    deep: bool = False
    arguments: tuple[str, ...] = ()
    leaves: bool = False
    """Whether the reader leaves after the first document."""


FULL = r"Task capture\.{}\S*: There is no room left to write: free space .* File too large\)"
DEEP = r"Task capture\.{}\S*: An object of Stripe's cannot be written as JSON.* Recursion limit reached\)"
GONE = r"Task capture\.{}\S*: Nobody reads the connector's output any more: start .* Broken pipe\)"

TROUBLES = {
    "full disk, page loop": Trouble(FULL.format("Charges"), arguments=("1000",)),
    "full disk, loop of the CDK": Trouble(FULL.format("Prices"), "Prices", arguments=("1000",)),
    "full disk, events": Trouble(FULL.format("Prices"), "Prices", changed=True, arguments=("1000",)),
    "deep document, page loop": Trouble(DEEP.format("Charges"), deep=True),
    "deep document, loop of the CDK": Trouble(DEEP.format("Prices"), "Prices", deep=True),
    "no reader": Trouble(GONE.format("Charges"), leaves=True),
}


async def run(trouble: Trouble) -> list[str]:
    world = World(now=NOW)
    kind = trouble.stream.lower()[:-1]
    for _ in range(1_000 if trouble.leaves else 100):
        world.create(kind, event=trouble.changed, at=NOW - 600)
    stripe = DeepStripe if trouble.deep else StripeServer
    program = ["-c", PROGRAM, *trouble.arguments]
    async with (
        stripe(world) as server,
        connector({API_BASE_VARIABLE: server.url}, program) as process,
    ):
        assert process.stdin
        assert process.stdout
        assert process.stderr
        request = open_request(Capture(server, [trouble.stream]))
        if trouble.changed:
            behind = {"inc": {"cursor": "2026-05-28T19:26:40Z"}}
            request["open"]["state"] = {"bindingStateV1": {trouble.stream: behind}}
        process.stdin.write(orjson.dumps(request) + b"\n")
        log = asyncio.create_task(process.stderr.read())
        if trouble.leaves:
            while not (await process.stdout.readline()).startswith(b'{"captured"'):
                pass
            process._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined] # no public way
        else:
            await process.stdout.read()
        code = await process.wait()
        return mistakes(Bad({}, trouble.says, opened=True), code, b"", await log)


async def test_what_fails_around_the_process_ends_it_with_one_line_that_names_the_stream() -> None:
    found = dict(zip(TROUBLES, await asyncio.gather(*map(run, TROUBLES.values())), strict=True))
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize(
    ("redirected", "says"),
    [
        (">/dev/full", "There is no room left to write: free space"),
        ("</dev/null", "Requests cannot be read, as stdin is a file or closed: pass them through a pipe"),
        ("<README.md", "Requests cannot be read, as stdin is a file or closed: pass them through a pipe"),
        ("<&-", "Requests cannot be read, as stdin is a file or closed: pass them through a pipe"),
    ],
)
async def test_stdin_or_stdout_that_does_not_do_is_said_in_one_line(redirected: str, says: str) -> None:
    process = await asyncio.create_subprocess_shell(
        f'"$PYTHON" {" ".join(MODULE)} {redirected}',
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable if redirected == "<&-" else python()},
    )
    async with asyncio.timeout(30):
        stdout, stderr = await process.communicate(b'{"spec": {}}\n')
    assert mistakes(Bad({}, says), process.returncode, stdout, stderr) == []
