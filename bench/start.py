"""What a start takes: CPU of a `spec` until its answer, and of an open until its first request. BEFORE in the
environment is a checkout of another commit: its starts are measured in turn with those of this one, which are
to take half."""

import asyncio
import compileall
import os
from pathlib import Path
from typing import Final

import orjson

from bench.figures import Figures
from bench.run import ROOT, Task, cpu, lines, python
from sandbox.stripe import StripeServer, World

TIMES: Final = 7
"""Starts of each kind, of which the quickest counts: the others shared the processor."""
TARGET: Final = 0.5
"""Seconds, where there is nothing to compare with."""
STREAMS: Final = ("Charges", "Customers", "Prices")


async def start(figures: Figures) -> None:
    now, before = ROOT, Path(os.environ.get("BEFORE", ROOT))
    for root in (now, before):
        # As in the image: to compile the source takes a third of a start.
        compileall.compile_dir(root / "source_stripe_native", quiet=1)
    spec: dict[Path, list[float]] = {now: [], before: []}
    opened: dict[Path, list[float]] = {now: [], before: []}
    async with StripeServer(World()) as server:
        for _ in range(TIMES):
            for root in dict.fromkeys((before, now)):
                spec[root].append(await _spec(root))
                opened[root].append(await _open(root, server))
    for what, took in (("spec", spec), ("open until the first request", opened)):
        target = min(took[before]) / 2 if before != now else TARGET
        figures.add("a start", f"CPU of {what}", 1e3 * min(took[now]), 1e3 * target, "ms")


async def _spec(root: Path) -> float:
    request = orjson.dumps({"spec": {"connectorType": "LOCAL"}}) + b"\n"
    async with python("-m", "source_stripe_native", root=root) as process:
        assert process.stdin is not None
        process.stdin.write(request)
        async for _ in lines(process):
            took = cpu(process.pid)
            break
        else:
            raise RuntimeError("spec had no answer")
    return took


async def _open(root: Path, server: StripeServer) -> float:
    server.journal.clear()
    environment = {"STRIPE_API_BASE": server.url, "LOG_LEVEL": "WARN"}
    async with python("-m", "source_stripe_native", root=root, environment=environment) as process:
        assert process.stdin is not None
        process.stdin.write(orjson.dumps(Task(STREAMS).request(server.world.key)) + b"\n")
        async with asyncio.timeout(60):
            while not len(server.journal):  # noqa: ASYNC110 - another process makes it so
                await asyncio.sleep(0.005)
        return cpu(process.pid)
