"""A Python that has imported everything already, for tests that run many of the project's programs.

`WarmPython` is a process that waits with its imports done. Each start of the program that it makes with
`install` forks it, so that a command costs a few milliseconds instead of most of a second. Arguments,
directory, environment, files and signals are those of the program that was started, and so is the exit code.
"""

import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from source_stripe_native.settings import DEFAULTS

ROOT: Final = Path(__file__).parent.parent
IMPORTED: Final = (
    "duckdb",
    "sandbox.__main__",
    "sandbox.flow.database",
    "source_stripe_native.__main__",
    "source_stripe_native.command_line",
)

_CLIENT: Final = """#!{python} -IS
import json, os, signal, socket, sys

def forward(number, _):
    os.kill(pid, number)

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_DFL)
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
request = {{"argv": sys.argv, "cwd": os.getcwd(), "env": dict(os.environ)}}
socket.send_fds(server, [b"."], [0, 1, 2])
server.sendall(json.dumps(request).encode() + b"\\n")
pid = int.from_bytes(server.recv(8), "big")
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, forward)
code = int.from_bytes(server.recv(8), "big", signed=True)
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


class WarmPython:
    """Use `with WarmPython(address) as python:`, where `address` is a path for a socket."""

    def __init__(self, address: Path) -> None:
        self._address = address

    def __enter__(self) -> Self:
        command = [sys.executable, __file__, str(self._address)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it waits for connections
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # the end of its input ends it

    def install(self, path: Path) -> None:
        """Makes the program `path`, which takes Python's arguments `-m`, `-c` or a file."""
        path.write_text(_CLIENT.format(python=sys.executable, address=str(self._address)))
        path.chmod(0o755)


def serve(address: str) -> None:
    for name in IMPORTED:
        import_module(name)
        sys.modules.pop(name.removesuffix(".__main__") + ".__main__", None)  # which is run, and not imported
    # The local Stripe has no rate limit to keep to: the tests would wait for most of their time.
    for limit in ("requests_live", "requests_test", "requests_per_endpoint"):
        object.__setattr__(DEFAULTS, limit, 1000.0)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print(flush=True)
        while True:
            readable, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in readable:
                return
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _answer(connection)
            connection.close()


def _answer(connection: socket.socket) -> None:
    """Runs what a client asks for in a process of its own. It is killed if the client is."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as lines:
        request = json.loads(lines.readline())
    pid = os.fork()
    if pid == 0:
        connection.close()
        os._exit(_run(request, files))
    for each in files:
        os.close(each)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(pid.to_bytes(8, "big"))

    def watch() -> None:
        # Nothing comes until the client is gone, which may be before it has read the number.
        with contextlib.suppress(ConnectionError):
            connection.recv(1)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(BrokenPipeError):
        connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(8, "big", signed=True))
    os._exit(0)


def _run(request: dict[str, Any], files: list[int]) -> int:
    """The exit code of a Python with these arguments, in this process."""
    for target, each in enumerate(files):
        os.dup2(each, target)
    os.closerange(3, 1 << 10)
    sys.stdin, sys.stdout, sys.stderr = (
        os.fdopen(each, mode, closefd=False) for each, mode in enumerate("rww")
    )
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.executable, option, *arguments = request["argv"]
    try:
        if option == "-m":
            sys.path[0], sys.argv = request["cwd"], arguments
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        elif option == "-c":
            sys.path[0], sys.argv = request["cwd"], ["-c", *arguments[1:]]
            exec(compile(arguments[0], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.path[0], sys.argv = str(Path(option).parent.resolve()), [option, *arguments]
            runpy.run_path(option, run_name="__main__")
    except SystemExit as exit:
        if isinstance(exit.code, str):
            print(exit.code, file=sys.stderr)
        return exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException:  # noqa: BLE001 - as Python does at its end
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    serve(sys.argv[1])
