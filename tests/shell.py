"""A reader's shell: a checkout that commands may write into, with a local Stripe in the place of Stripe.

The checkout is a directory of links to this one, with copies of what commands write. Its virtual environment
has a Python that is there already, so that nothing is installed.
"""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from sandbox.stripe import StripeServer
from source_stripe_native.notices.notices import PORT_VARIABLE
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.documentation import ROOT
from tests.warm_python import WarmPython

COPIED: Final = ("acmeCo", "config.yaml", "docs", "test-prices.flow.yaml", "test-webhooks.flow.yaml", "tools")
LINKED: Final = (
    "Makefile",
    "bench",
    "examples",
    "poetry.lock",
    "poetry.toml",
    "pyproject.toml",
    "sandbox",
    "source_stripe_native",
    "tests",
)
KEPT: Final = re.compile(r"(export|unset|source|cd) ")
"""Commands whose effect the commands after them see."""
READABLE: Final = ("account", "customer", "event", "price", "product")
"""What the reader's own key can read. With all streams, discover would write YAML for seconds."""
PORT: Final = "8080"
"""The port of the examples. It may be taken, so that another one is used in its place."""
PLACEHOLDER: Final = re.compile(r"\b[sr]k_(live|test)_\.\.\.")
"""A reader's own key, in whose place the local Stripe's is used."""
SECONDS: Final = 60.0

_SCRIPT: Final = '#!/bin/sh\nexec "{python}" -m source_stripe_native "$@"\n'
_ACTIVATE: Final = 'export VIRTUAL_ENV="{venv}" PATH="{venv}/bin:$PATH"\n'


@dataclass
class Shell:
    """`port` is free on this machine, and so is the one for Stripe's posts."""

    checkout: Path
    server: StripeServer
    port: int
    posts_port: int
    key: str
    """The reader's own key."""
    kept: list[str] = field(default_factory=list)
    serving: list[asyncio.subprocess.Process] = field(default_factory=list)

    def typed(self, command: str) -> str:
        """The command as this shell runs it. What is sent to Stripe itself comes here."""
        away = f"unset {API_BASE_VARIABLE}"
        if command == away:
            return f"export {API_BASE_VARIABLE}={self.server.url}"
        return PLACEHOLDER.sub(self.server.world.key, command).replace(PORT, str(self.port))

    def write(self, name: str, content: str) -> None:
        """Makes a file of the reader's, with the reader's own key."""
        (self.checkout / name).write_text(PLACEHOLDER.sub(self.key, content) + "\n")

    async def start(self, command: str) -> asyncio.subprocess.Process:
        lines = [*self.kept, command]
        venv_bin = str(Path(sys.executable).parent)
        path = [each for each in os.environ.get("PATH", "").split(os.pathsep) if each != venv_bin]
        return await asyncio.create_subprocess_exec(
            "bash",
            "-c",
            "\n".join(self.typed(each) for each in lines),
            cwd=self.checkout,
            env={
                "HOME": str(self.checkout / ".venv"),
                "LANG": "C.UTF-8",
                "PATH": os.pathsep.join(path),
                "PYTHONPATH": str(ROOT),
                API_BASE_VARIABLE: self.server.url,
                PORT_VARIABLE: str(self.posts_port),
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1 << 24,
            start_new_session=True,
        )

    async def run(self, command: str) -> tuple[int, str]:
        """The exit code and the output of a command that ends by itself."""
        process = await self.start(command)
        try:
            async with asyncio.timeout(SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGTERM)
            return 1, f"does not end within {SECONDS:.0f} s"
        if not process.returncode and KEPT.match(command):
            self.kept.append(command)
        return process.returncode or 0, output.decode()

    async def run_until(self, command: str, sign: str) -> str:
        """Starts a command that goes on until Ctrl-C. Returns its output up to the line with the `sign`, or
        all of it where there is none."""
        process = await self.start(command)
        self.serving.append(process)
        assert process.stdout is not None
        output = ""
        async with asyncio.timeout(SECONDS):
            while line := (await process.stdout.readline()).decode():
                output += line
                if sign in line:
                    break
        return output

    async def interrupt(self) -> list[int]:
        """Ctrl-C for the commands that go on: their exit codes."""
        found = []
        for process in self.serving:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGINT)
            await process.communicate()
            found.append(process.returncode or 0)
        self.serving.clear()
        return found


def free_port(but_for: int = 0) -> int:
    """A port that nobody listens on, below those that systems choose from by themselves."""
    for port in range(max(20_000 + os.getpid() % 10_000, but_for + 1), 32_000):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("no port is free")


def make_checkout(path: Path, python: WarmPython, streams: Collection[str]) -> None:
    """Makes a checkout at `path`, set up with a `python` that starts at once. Its specification of all
    streams has these `streams` alone: to read the YAML of all takes seconds."""
    for name in COPIED:
        original = ROOT / name
        (shutil.copytree if original.is_dir() else shutil.copy)(original, path / name)
    for each in (*map(ROOT.joinpath, LINKED), *ROOT.glob("*.md")):
        (path / each.name).symlink_to(each)
    for name, start in (("test.flow.yaml", "      - resource:\n"), ("acmeCo/flow.yaml", "  acmeCo/")):
        head, *parts = re.split(rf"^(?={start})", (ROOT / name).read_text(), flags=re.MULTILINE)
        kept = [
            each for each in parts if any(f"acmeCo/{stream}\n" in each.replace(":", "") for stream in streams)
        ]
        (path / name).write_text("".join([head, *kept]))
    venv = path / ".venv"
    programs = venv / "bin"
    programs.mkdir(parents=True)
    python.install(programs / "python", unlimited=True)
    (programs / "activate").write_text(_ACTIVATE.format(venv=venv))
    script = programs / "source-stripe-native"
    script.write_text(_SCRIPT.format(python=programs / "python"))
    script.chmod(0o755)
    # The stamp by which make knows that all is set up.
    (venv / "set-up-with-python3").touch()
