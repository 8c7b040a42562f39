"""flowctl, or the stand-in where there is none: `FLOWCTL=flowctl make test` runs the real one."""

import asyncio
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from tests.warm_python import python

ROOT = Path(__file__).parent.parent
FLOWCTL = shlex.split(os.environ.get("FLOWCTL", "")) or ["python", "-m", "sandbox"]


@dataclass(frozen=True)
class Run:
    exit_code: int
    stdout: str
    stderr: str


async def run(command: list[str], *, cwd: Path = ROOT, seconds: float = 60, **env: str) -> Run:
    """Runs `command` to its end, with a warm Python first on the PATH."""
    path = f"{Path(python()).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), **env},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return Run(process.returncode or 0, stdout.decode(), stderr.decode())


async def with_stripe(*arguments: str, cwd: Path = ROOT) -> Run:
    """`flowctl ARGUMENTS` with an embedded Stripe, as `make preview` runs it."""
    return await run(["python", "-m", "sandbox", "stripe", "--", *FLOWCTL, *arguments], cwd=cwd)
