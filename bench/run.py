"""Runs a capture against a sandbox in this process and counts what it writes.

The connector is a process of its own, in this one's process group: Ctrl-C or `timeout` end both. Flow's part
is played here: documents count once a checkpoint follows them, state is merge-patched, and a capture is ended
with SIGKILL. CPU and memory are counted as Linux does.
"""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import json_merge_patch
import orjson

from bench.connector import RESTED
from sandbox.stripe import StripeServer

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent
CAPTURED = b'{"captured":{"binding":'
"""How the line of a document begins, before its binding's index."""
LONGEST_LINE = 1 << 27
"""Bytes."""
SLOW_BUFFER = 1 << 20
"""Bytes of the longest line where the output is read slowly: what is read ahead is not waited for."""


@dataclass(frozen=True)
class Task:
    """What to capture. `lifted` lifts the connector's rate limits; else it has the one for
    `requests_per_second`, or for its key where that is None."""

    streams: Sequence[str]
    connected: bool = False
    state: Json = field(default_factory=dict)
    interval: str = "PT5M"
    lifted: bool = True
    requests_per_second: int | None = None
    secret: str = ""
    """The signing secret of posts, which arrive at `port`."""
    port: int = 0
    rested: int | None = None
    """Seconds for which accounts rest while posts are relied on, where that is not the default."""

    def environment(self) -> dict[str, str]:
        rested = {} if self.rested is None else {RESTED: str(self.rested)}
        return {"WEBHOOK_PORT": str(self.port), **rested}

    def request(self, key: str) -> Json:
        bindings = [
            {
                "resourceConfig": {"name": each, "interval": self.interval},
                "resourcePath": [each],
                "stateKey": each,
                "collection": {"name": f"acmeCo/{each}", "key": ["/id"], "writeSchema": {}},
            }
            for each in self.streams
        ]
        config = {
            "credentials": {"access_token": key},
            "start_date": "2012-01-01T00:00:00Z",
            "capture_connected_accounts": self.connected,
            "advanced": {
                "max_requests_per_second": self.requests_per_second,
                "webhook_signing_secret": self.secret,
            },
        }
        capture = {
            "name": "acmeCo/bench",
            "connectorType": "LOCAL",
            "config": config,
            "intervalSeconds": 300,
            "bindings": bindings,
        }
        return {"open": {"capture": capture, "version": "bench", "range": {}, "state": self.state}}


@dataclass
class Written:
    """What a capture wrote: documents by stream, checkpoints, state. `progress` is each checkpoint's time, in
    seconds from the start, and the documents until then; `first` is the first document's time. What it took:
    peak resident memory in bytes, CPU seconds, of which `started` until the first checkpoint."""

    state: Json
    documents: dict[str, int] = field(default_factory=dict)
    checkpoints: int = 0
    progress: list[tuple[float, int]] = field(default_factory=list)
    first: float = 0.0
    peak: int = 0
    cpu: float = 0.0
    started: float = 0.0

    def of(self, stream: str) -> Json:
        return dict(self.state.get("bindingStateV1", {}).get(stream, {}))

    def has_backfilled(self, stream: str) -> bool:
        return bool(self.documents.get(stream)) and not self.of(stream).get("backfill")


Until = Callable[[Written], bool]
Reader = Callable[[asyncio.subprocess.Process], AsyncIterator[bytes]]
"""What a process writes, line by line, at the reader's pace."""
Take = Callable[[str, Json], None]
"""Is called with a stream and a document of it."""


async def capture(
    server: StripeServer,
    task: Task,
    until: Until,
    take: Take | None = None,
    *,
    at_most: float,
    opened: Callable[[], None] = lambda: None,
    killed_after: float | None = None,
    reader: Reader | None = None,
) -> Written:
    """Runs the connector until `until` holds after a checkpoint, or for `killed_after` seconds, and kills it.

    `take` is called with each document that a checkpoint follows, `opened` once the capture has started. A
    `reader` says how the output is read, by default as fast as it comes.
    Raises TimeoutError after `at_most` seconds, and RuntimeError with the connector's last words where it
    ends by itself."""
    limit = LONGEST_LINE if reader is None else SLOW_BUFFER
    async with asyncio.timeout(at_most), _connector(server, task, limit) as process:
        output = _Output(process.pid, task.streams, Written(deepcopy(task.state)), take)
        with suppress(TimeoutError):
            async with asyncio.timeout(killed_after):
                async for line in (reader or lines)(process):
                    if line.startswith(b'{"opened"'):
                        opened()
                    elif output.is_checkpoint(line) and until(output.written):
                        break
                else:
                    assert process.stderr is not None
                    raise RuntimeError((await process.stderr.read()).decode()[-2000:])
        output.written.peak, output.written.cpu = peak(process.pid), cpu(process.pid)
    return output.written


@dataclass
class _Output:
    """The connector's output, counted line by line."""

    pid: int
    streams: Sequence[str]
    written: Written
    take: Take | None
    start_time: float = field(default_factory=time.monotonic)
    count: int = 0
    pending: list[tuple[str, bytes]] = field(default_factory=list)

    def is_checkpoint(self, line: bytes) -> bool:
        """Counts a line, and says whether everything before it is captured now."""
        if line.startswith(CAPTURED):
            self._document(line)
        elif line.startswith(b'{"checkpoint"'):
            self._checkpoint(orjson.loads(line)["checkpoint"]["state"]["updated"])
            return True
        return False

    def _document(self, line: bytes) -> None:
        written = self.written
        written.first = written.first or time.monotonic() - self.start_time
        stream = self.streams[int(line[len(CAPTURED) : line.index(b",", len(CAPTURED))])]
        written.documents[stream] = written.documents.get(stream, 0) + 1
        self.count += 1
        if self.take is not None:
            self.pending.append((stream, line))

    def _checkpoint(self, patch: Json) -> None:
        written = self.written
        written.started = written.started or cpu(self.pid)
        written.checkpoints += 1
        written.progress.append((time.monotonic() - self.start_time, self.count))
        written.state = json_merge_patch.merge(written.state, patch)
        if self.take is not None:
            for stream, line in self.pending:
                self.take(stream, orjson.loads(line)["captured"]["doc"])
        self.pending.clear()


@asynccontextmanager
async def python(
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    limit: int = LONGEST_LINE,
    root: Path = ROOT,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python process with pipes to all of its streams, killed at the end of the block if it still runs. Its
    lines have `limit` bytes at most, twice as many are read ahead. It runs in the checkout `root`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        cwd=root,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=limit,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        # What is unread would keep the pipe open, and with it the process' transport.
        async for _ in lines(process):
            pass
        await process.wait()


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[bytes]:
    """What a process writes on stdout, line by line, as Flow drains a connector."""
    assert process.stdout is not None
    async for line in process.stdout:
        yield line


@asynccontextmanager
async def _connector(
    server: StripeServer, task: Task, limit: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    module = "bench.connector" if task.lifted else "source_stripe_native"
    environment = {"STRIPE_API_BASE": server.url, "LOG_LEVEL": "WARN", **task.environment()}
    async with python("-m", module, limit=limit, environment=environment) as process:
        assert process.stdin is not None
        process.stdin.write(orjson.dumps(task.request(server.world.key)) + b"\n")
        yield process


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peak(pid: int) -> int:
    """Peak resident memory of a process in bytes."""
    return _status(pid, "VmHWM")


def cpu(pid: int) -> float:
    """CPU seconds of a process until now, by the clock that Linux has for each (clock_getcpuclockid)."""
    return time.clock_gettime(~pid << 3 | 2)


def resident(pid: int) -> int:
    """Resident memory of a process in bytes."""
    return _status(pid, "VmRSS")


def _status(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
