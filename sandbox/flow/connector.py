"""A connector's process: JSON lines to its stdin and from its stdout, its log on stderr.

The process leads a group of its own, which is killed with SIGKILL as soon as the process ended or is no
longer wanted: nothing that a connector started outlives it. Where the system has `setpriv`, the kernel
kills the connector also when this process dies without a chance to.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from asyncio.subprocess import SubprocessStreamProtocol
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from sandbox.flow.errors import ConnectorFailed, FlowError, ProtocolError
from sandbox.flow.logs import Log, parse_log

OnLog = Callable[[Log], None]
Json = dict[str, Any]

_LONGEST_LINE = 1 << 26  # bytes; as many may wait to be read twice
_GRACE = 5.0  # seconds for what a dead connector wrote to be read
_SHOWN = 200  # characters of a line that is quoted in an error


@dataclass(frozen=True)
class Program:
    """What to run, and the environment to add to ours."""

    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        # `python` in a command is the Python that runs this, be its virtual environment activated or not.
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
        return {**os.environ, "PATH": path, **self.env}


class _Leader(SubprocessStreamProtocol):
    """A process that ends what it started as it ends itself; until then its pipes may be held open."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._group = transport.get_pid()
        super().connection_made(transport)

    def process_exited(self) -> None:
        _kill_group(self._group)
        super().process_exited()


class Connector:
    """One running connector. Use `async with start(...)`; leaving the block kills what still runs."""

    def __init__(self, process: asyncio.subprocess.Process, on_log: OnLog) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._process, self._on_log = process, on_log
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._last_log: Log | None = None
        self._rest = b""
        """What the connector wrote after its last whole line."""
        self._logging = asyncio.create_task(self._read_log())

    @classmethod
    async def start(cls, program: Program, on_log: OnLog) -> Self:
        environment = program.environment()
        if shutil.which(program.command[0], path=environment["PATH"]) is None:
            raise FlowError(
                f"the connector's command {program.command[0]!r} is not found: install it, or mend PATH"
            )
        setpriv = shutil.which("setpriv")
        guard = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            lambda: _Leader(_LONGEST_LINE, loop),
            *guard,
            *program.command,
            env=environment,
            start_new_session=True,
        )
        return cls(asyncio.subprocess.Process(transport, protocol, loop), on_log)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    async def send(self, verb: str, body: Json) -> None:
        """Writes a request. That the connector is gone shows at the next `receive`."""
        with contextlib.suppress(ConnectionError):
            self._stdin.write(orjson.dumps({verb: body}, option=orjson.OPT_APPEND_NEWLINE))
            await self._stdin.drain()

    def end_requests(self) -> None:
        self._stdin.close()

    async def receive(self) -> tuple[str, Json] | None:
        """The next response's kind and body, or None when the connector exited with 0. Safe to cancel.

        Raises ConnectorFailed when it exited otherwise, and ProtocolError for a line that is no response, or
        that the exit cut off.
        """
        try:
            line = await self._stdout.readline()
        except ValueError as error:
            raise ProtocolError(f"the connector wrote a line of more than {_LONGEST_LINE} bytes") from error
        if line.endswith(b"\n"):
            return _response(line)
        self._rest = line or self._rest  # kept for the next call, where this one is cancelled
        code = await self._process.wait()
        await self._finish_log()
        if code:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with status {code}"
            if self._last_log is None:
                raise ConnectorFailed(f"the connector {how}, and its log is empty")
            is_logged = self._last_log.level == "error"
            raise ConnectorFailed(self._last_log.message, is_logged=is_logged)
        if self._rest:
            raise ProtocolError(f"the connector exited in the middle of a line: {_shown(self._rest)}")
        return None

    async def kill(self) -> None:
        """Kills the connector and all that it started, and frees what this object holds. May be repeated."""
        _kill_group(self._process.pid)
        self._stdin.close()
        # What is unread keeps the pipe open, and with it the transport. The time is bounded, as a descendant
        # that left the group may hold the pipe's other end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                while await self._stdout.read(1 << 20):
                    pass
                await self._process.wait()
        await self._finish_log()

    async def _read_log(self) -> None:
        while line := await self._log_line():
            if line.strip():
                self._last_log = parse_log(line)
                self._on_log(self._last_log)

    async def _log_line(self) -> bytes:
        try:
            return await self._stderr.readline()
        except ValueError:  # the reader has dropped the line
            return f"a line of the log was longer than {_LONGEST_LINE} bytes\n".encode()

    async def _finish_log(self) -> None:
        done, _ = await asyncio.wait([self._logging], timeout=_GRACE)
        if done:
            self._logging.result()
        else:
            self._logging.cancel()


async def call(program: Program, on_log: OnLog, verb: str, body: Json, expected: str) -> Json:
    """Runs the connector for one request: its one response of the kind `expected`."""
    async with await Connector.start(program, on_log) as connector:
        await connector.send(verb, body)
        connector.end_requests()
        responses = []
        while response := await connector.receive():
            responses.append(response)
    kinds = [kind for kind, _ in responses]
    if kinds != [expected]:
        raise ProtocolError(
            f"the connector answered {verb} with {kinds or 'nothing'}, where one {expected!r} is due"
        )
    return responses[0][1]


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter is macOS' for a dead group
        os.killpg(leader, signal.SIGKILL)


def _response(line: bytes) -> tuple[str, Json]:
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError:
        message = None
    match [(k, v) for k, v in message.items() if v is not None] if isinstance(message, dict) else []:
        case [(str(kind), dict(body))]:
            return kind, body
    raise ProtocolError(f"the connector wrote a line on stdout that is no response: {_shown(line)}")


def _shown(line: bytes) -> str:
    return line[:_SHOWN].decode(errors="replace")
