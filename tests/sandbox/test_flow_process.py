"""`preview` as a process of its own: signals, terminals, pipes. Whatever ends it ends its connector."""

import asyncio
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from sandbox.flow.cli import _run
from tests.sandbox.fake_connector import PATIENCE, alive, catalog, gone, written
from tests.warm_python import python


@contextmanager
def previewing(
    directory: Path, *flags: str, **streams: Any
) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """A preview that has printed the document `a`, and the ids of the connector's processes."""
    pids = directory / "pids"
    source = written(directory, catalog([{"doc": {"id": "a"}}, {"checkpoint": {}}], pids=str(pids)))
    command = [python(), "-m", "sandbox", "preview", "--source", str(source), *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, **streams) as process:
        try:
            assert process.stdout
            assert process.stdout.readline().startswith(b'["acmeCo/Prices",')
            yield process, [int(line) for line in pids.read_text().splitlines()]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_preview_ends_its_connector_and_tells_the_signal(
    tmp_path: Path, number: signal.Signals
) -> None:
    with previewing(tmp_path, stderr=subprocess.PIPE) as (process, pids):
        assert alive(pids[-1])
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (128 + number, b"", b"")
    assert gone(pids)


def test_another_signal_does_not_interrupt_what_the_first_one_ends() -> None:
    ended = []

    async def main() -> None:
        signal.raise_signal(signal.SIGINT)
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0.01)
            ended.append(True)

    with pytest.raises(SystemExit) as exited:
        _run(main())
    assert (exited.value.code, ended) == (130, [True])


@pytest.mark.skipif(
    shutil.which("setpriv") is None, reason="without setpriv a connector outlives a killed preview"
)
def test_connector_ends_with_a_preview_that_is_killed(tmp_path: Path) -> None:
    with previewing(tmp_path) as (process, pids):
        assert alive(pids[-1])
        process.kill()
        assert gone(pids)


def test_preview_ends_when_nobody_reads_it_any_more(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    source = written(tmp_path, catalog([{"count": [100_000, 1]}], pids=str(pids)))
    command = [python(), "-m", "sandbox", "preview", "--source", str(source)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE) == 1
        assert process.stderr.read() == b""
    assert gone([int(line) for line in pids.read_text().splitlines()])


def test_terminal_shows_how_far_the_capture_is_and_the_pipe_has_only_documents(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with previewing(tmp_path, "--sessions", "1", stderr=theirs, env=environment) as (process, _):
        out, _ = process.communicate(timeout=PATIENCE)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        shown = drained(terminal)
    assert (process.returncode, out) == (0, b"")
    assert b"1 document, 1 transaction" in shown


def test_documents_on_a_terminal_stand_above_the_table(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    source = written(tmp_path, catalog([{"count": [3, 1]}]))
    command = [python(), "-m", "sandbox", "preview", "--source", str(source), "--sessions", "3"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    subprocess.run(command, stdout=theirs, stderr=theirs, env=environment, timeout=PATIENCE, check=True)
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        lines = drained(terminal).splitlines()
    at = [next(n for n, line in enumerate(lines) if f'"id":"{i}"'.encode() in line) for i in range(3)]
    assert at == sorted(at)
    assert b"3 documents" in b"".join(lines[at[-1] + 1 :])


def drained(terminal: IO[bytes]) -> bytes:
    """What was written to a terminal that has no writer left, which Linux tells by an error."""
    shown = b""
    try:
        while part := terminal.read(65536):
            shown += part
    except OSError:
        pass
    return shown


def test_module_outside_of_its_environment_says_in_one_line_what_to_do() -> None:
    command = [sys.executable, "-S", "-m", "sandbox", "preview"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stderr.count("\n") == 1
    assert "source .venv/bin/activate" in ran.stderr
