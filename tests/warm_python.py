"""A Python that has imported everything already, for tests that run many of the project's programs.

`WarmPython` is a process that waits with its imports done. Each start of the program that it makes with
`install` forks it, so that a command costs a few milliseconds instead of most of a second. Arguments,
directory, environment, files, session, signals and end are those of the program that was started.

Its process is another one than the program's, and variables that Python itself reads (`PYTHON...`) do nothing
to it. A test that looks at `/proc`, or whose subject is the start
itself, starts `sys.executable`.
"""

import atexit
import contextlib
import gc
import marshal
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Final, NamedTuple, NoReturn, Self

from source_stripe_native.settings import DEFAULTS

ROOT: Final = Path(__file__).parent.parent
IMPORTED: Final = (
    "duckdb",
    "sandbox.__main__",
    "sandbox.flow.database",
    "source_stripe_native.__main__",
    "source_stripe_native.cli.commands",
)
FILES: Final = (("stdin", "r", -1), ("stdout", "w", -1), ("stderr", "w", 1))
"""Their modes, and how they are buffered: stderr by the line."""
ADDRESS: Final = "WARM_PYTHON"
"""The variable that has the address of the one that is there."""
LIMITS: Final = ("requests_live", "requests_test", "requests_per_endpoint")

# It imports builtin modules alone: `socket` and `signal` would take longer than all the rest.
_CLIENT: Final = """#!{python} -IS
import _signal, _socket, marshal, os, sys

SIGNALS = (_signal.SIGINT, _signal.SIGTERM)

def forward(number, _):
    os.kill(pid, number)

for number in SIGNALS:
    _signal.signal(number, _signal.SIG_DFL)
leads = os.getsid(0) == os.getpid()
request = marshal.dumps((sys.argv, os.getcwd(), dict(os.environ), leads, {unlimited!r}))
server = _socket.socket(_socket.AF_UNIX)
server.connect({address!r})
files = b"".join(each.to_bytes(4, sys.byteorder) for each in range(3))
server.sendmsg([b"."], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
server.sendall(len(request).to_bytes(8, "big") + request)
pid = int.from_bytes(server.recv(8), "big")
for number in SIGNALS:
    _signal.signal(number, forward)
nothing = os.open(os.devnull, os.O_RDWR)
for each in range(3):  # the files are the program's alone
    os.dup2(nothing, each)
server.sendall(b".")
code = int.from_bytes(server.recv(8), "big", signed=True)
if code < 0:
    if -code in SIGNALS:
        _signal.signal(-code, _signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


class Request(NamedTuple):
    """What a client asks for. `leads`: it is the leader of its session."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    leads: bool
    unlimited: bool


class WarmPython:
    """Use `with WarmPython(address) as python:`, where `address` is a path for a socket. Programs may be
    started at once: they wait until its imports are done."""

    def __init__(self, address: Path) -> None:
        self._address = address

    def __enter__(self) -> Self:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self._address))
            listener.listen()
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno())],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                pass_fds=[listener.fileno()],
                start_new_session=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()  # the end of its input ends it

    def install(self, path: Path, *, unlimited: bool = False) -> None:
        """Makes the program `path`, which takes Python's arguments `-m`, `-c` or a file.

        `unlimited` lifts the default limits of the requests in a second. The local Stripe has none, so that
        a program would wait for most of its time."""
        client = _CLIENT.format(python=sys.executable, address=str(self._address), unlimited=unlimited)
        path.write_text(client)
        path.chmod(0o755)


@cache
def warm_python() -> WarmPython:
    """The one of this process, from the first call to the process' end. Processes that are started in between
    have the same one."""
    if address := os.environ.get(ADDRESS):
        return WarmPython(Path(address))
    ending = contextlib.ExitStack()
    atexit.register(ending.close)
    directory = tempfile.mkdtemp()
    ending.callback(shutil.rmtree, directory)
    os.environ[ADDRESS] = str(Path(directory, "socket"))
    return ending.enter_context(WarmPython(Path(os.environ[ADDRESS])))


@cache
def python() -> str:
    """A Python for programs of tests, alone in its directory: `sys.executable` with the imports done."""
    directory = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, directory)
    path = directory / "python"
    warm_python().install(path)
    return str(path)


def serve(listener: socket.socket) -> None:
    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that answer
    while True:
        readable, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in readable:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            _answer(connection)
        connection.close()


def _answer(connection: socket.socket) -> NoReturn:
    """Runs what a client asks for in a process of its own. It is killed if the client is."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    size = int.from_bytes(connection.recv(8, socket.MSG_WAITALL), "big")
    request = Request(*marshal.loads(connection.recv(size, socket.MSG_WAITALL)))
    waiting, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        connection.close()
        os.close(go)
        if os.read(waiting, 1):
            _become(request, files)
            _run(request.argv)
        os._exit(1)
    for each in (*files, waiting):
        os.close(each)
    # The program begins once its client can pass signals on, and never if the client is gone.
    with contextlib.suppress(ConnectionError):
        connection.sendall(pid.to_bytes(8, "big"))
        os.write(go, connection.recv(1))
    os.close(go)

    def watch() -> None:
        with contextlib.suppress(ConnectionError):
            connection.recv(1)  # nothing comes until the client is gone
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(ConnectionError):
        connection.sendall(os.waitstatus_to_exitcode(status).to_bytes(8, "big", signed=True))
    os._exit(0)


def _become(request: Request, files: list[int]) -> None:
    """Makes this process one that the client could have started."""
    for target, each in enumerate(files):
        os.dup2(each, target)
    os.closerange(3, 1 << 10)
    for place, (name, mode, buffering) in enumerate(FILES):
        had = getattr(sys, name)
        file = os.fdopen(place, mode, buffering, had.encoding, had.errors, closefd=False)
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)
    if request.leads:
        os.setsid()
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.env)
    for limit in LIMITS if request.unlimited else ():
        object.__setattr__(DEFAULTS, limit, 1000.0)


def _run(argv: list[str]) -> NoReturn:
    """Runs a Python with these arguments, and ends as it does."""
    interrupted = False
    code: object = 0
    try:
        _execute(argv)
    except SystemExit as exit:
        code = exit.code
    except BaseException as error:  # noqa: BLE001 - as Python does at its end
        sys.excepthook(type(error), error, error.__traceback__)
        code, interrupted = 1, isinstance(error, KeyboardInterrupt)
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)
        code = 1
    threading._shutdown()  # type: ignore[attr-defined] # private, and what Python calls
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError as error:
        print(f"Exception ignored in: {sys.stdout!r}\n{type(error).__name__}: {error}", file=sys.stderr)
        code = 120
    if interrupted:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code or 0)


def _execute(argv: list[str]) -> None:
    sys.executable, option, *arguments = argv
    if option == "-m":
        sys.path[0], sys.argv = str(Path.cwd()), arguments
        # It is run, which runpy does not do to what is imported.
        for name in (arguments[0], f"{arguments[0]}.__main__"):
            if not hasattr(sys.modules.get(name), "__path__"):
                sys.modules.pop(name, None)
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif option == "-c":
        sys.path[0], sys.argv = "", ["-c", *arguments[1:]]
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(arguments[0], "<string>", "exec"), main.__dict__)
    else:
        sys.path[0], sys.argv = str(Path(option).parent.resolve()), [option, *arguments]
        runpy.run_path(option, run_name="__main__")


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as waiting:
        serve(waiting)
