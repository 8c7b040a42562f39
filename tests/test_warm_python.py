"""The Python of most tests that start a program: each program runs and ends as with a Python of its own."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path
from typing import Any, Final

import pytest

from source_stripe_native.settings import DEFAULTS
from tests.warm_python import LIMITS, python, warm_python

SEEN: Final = """
import gc, os, signal, sys, tempfile, threading
print(sys.argv, sys.path[0], __name__, os.getcwd(), dict(sorted(os.environ.items())), sys.stdin.read())
print(gc.isenabled(), gc.get_threshold(), threading.active_count(), sorted(os.listdir("/proc/self/fd"))[:4])
print([signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE)])
for file in (sys.stdin, sys.stdout, sys.stderr, sys.__stdout__):
    print(file.encoding, file.errors, file.line_buffering, file.write_through)
print(tempfile.gettempdir(), os.getsid(0) == os.getpid(), os.umask(0o22))
print("told", file=sys.stderr)
"""
PROGRAMS: Final = {
    "what a program sees": SEEN,
    "a number": "import sys; sys.exit(3)",
    "a large number": "import sys; sys.exit(-1)",
    "a message": "import sys; sys.exit('no')",
    "nothing": "raise SystemExit",
    "at once": "import os; os._exit(7)",
    "an interrupt": "raise KeyboardInterrupt",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "what is registered": "import atexit; atexit.register(print, 'last'); print('first')",
    "a thread": "import threading, time; threading.Timer(0.05, print, ['last']).start(); print('first')",
}


LOCALE: Final = {name: value for name, value in os.environ.items() if name.startswith(("LANG", "LC_"))}


async def start(program: str, *arguments: str, **options: Any) -> Process:
    return await asyncio.create_subprocess_exec(program, *arguments, **{"stdout": PIPE, **options})


async def outcome(program: str, code: str, directory: Path) -> tuple[int | None, bytes, bytes]:
    """How a program ends, and what it writes, but for a traceback."""
    process = await start(
        *(program, "-c", code, "argument"),
        cwd=directory,
        env={"TMPDIR": str(directory), **LOCALE},
        stdin=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    out, err = await process.communicate(b"asked")
    return process.returncode, out, err.splitlines(keepends=True)[-1] if err else b""


async def test_a_program_sees_what_it_would_see_and_ends_as_it_would_end(tmp_path: Path) -> None:
    warm, cold = [
        await asyncio.gather(*(outcome(program, code, tmp_path) for code in PROGRAMS.values()))
        for program in (python(), sys.executable)
    ]
    assert dict(zip(PROGRAMS, warm, strict=True)) == dict(zip(PROGRAMS, cold, strict=True))


async def test_a_module_and_a_file_are_run_as_programs(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("import sys; print(__name__, sys.argv, sys.path[0])")
    for arguments in (("-m", "program", "x"), (str(tmp_path / "program.py"), "x")):
        warm, cold = [await start(each, *arguments, cwd=tmp_path) for each in (python(), sys.executable)]
        assert await warm.communicate() == await cold.communicate()
    ran = await start(python(), "-m", "sandbox", "--help", stderr=PIPE)
    out, err = await ran.communicate()
    assert (ran.returncode, out.startswith(b"Usage: python -m sandbox"), err) == (0, True, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_a_signal_ends_the_program_and_its_output(number: signal.Signals) -> None:
    code = "import signal, time; signal.signal(2, signal.SIG_DFL); print(flush=True); time.sleep(60)"
    process = await start(python(), "-c", code)
    assert process.stdout
    await process.stdout.readline()
    process.send_signal(number)
    async with asyncio.timeout(10):
        assert await process.wait() == -number
        assert await process.stdout.read() == b""


async def test_output_ends_when_the_program_closes_it() -> None:
    process = await start(python(), "-c", "import os; os.close(1); os.read(0, 1)", stdin=PIPE)
    assert process.stdout
    async with asyncio.timeout(10):
        assert await process.stdout.read() == b""
    assert process.returncode is None
    await process.communicate(b".")
    assert process.returncode == 0


async def test_two_programs_draw_two_numbers() -> None:
    processes = [await start(python(), "-c", "import random; print(random.random())") for _ in range(2)]
    first, second = [await each.communicate() for each in processes]
    assert first != second


async def test_output_that_nobody_takes_is_an_error() -> None:
    with open("/dev/full", "w") as full:  # noqa: ASYNC230, PTH123 - it does not block
        for program in (python(), sys.executable):
            process = await start(program, "-c", "print()", stdout=full, stderr=PIPE, env={})
            _, err = await process.communicate()
            assert process.returncode == 120
            assert err.splitlines()[-1] == b"OSError: [Errno 28] No space left on device"


async def test_limits_of_requests_are_lifted_only_on_demand(tmp_path: Path) -> None:
    warm_python().install(tmp_path / "python", unlimited=True)
    code = (
        f"from source_stripe_native.settings import DEFAULTS as d; print(*(getattr(d, n) for n in {LIMITS}))"
    )
    found = []
    for program in (python(), str(tmp_path / "python")):
        process = await start(program, "-c", code, stdin=DEVNULL)
        out, _ = await process.communicate()
        found.append([float(each) for each in out.split()])
    assert found == [[getattr(DEFAULTS, each) for each in LIMITS], [1000.0] * len(LIMITS)]
