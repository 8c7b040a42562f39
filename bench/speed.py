"""One account's backfill without limits or latency: documents per CPU second of the process against a bare
loop that reads the same pages, its start, and its memory.

Both write to a pipe that is drained here, both without their start. It is the median of pairs, since a
machine's speed drifts.
"""

from statistics import median
from typing import Final

from bench.figures import Curve, Figures
from bench.run import Json, Task, Written, capture, lines, python
from sandbox.stripe import StripeServer, World

CHARGES: Final = 30_000
PADDING: Final = {f"note_{number:02}": "x" * 40 for number in range(38)}
"""Metadata that makes a charge 3 KB."""
PAIRS: Final = 7
MANY: Final = 200_000
YEAR: Final = 365 * 86_400
TASK: Final = Task(["Charges"])


def charged(number: int, metadata: Json, *, livemode: bool = False) -> World:
    """An account with so many charges of the last two years, more of them lately."""
    world = World(seed=1, livemode=livemode)
    now = world.clock.now()
    for each in range(number):
        age = 2 * YEAR * (1 - (each / number) ** 0.5)
        world.create("charge", at=now - int(age) - 1, event=False, metadata=metadata)
    return world


def done(written: Written) -> bool:
    return written.has_backfilled("Charges")


async def pairs(figures: Figures) -> None:
    """Documents per CPU second, against the bare loop."""
    ratios, loops, ours, starts = list[float](), list[float](), list[float](), list[float]()
    async with StripeServer(charged(CHARGES, PADDING)) as server:
        for _ in range(PAIRS):
            loops.append(CHARGES / await _bare(server))
            written = await capture(server, TASK, done, at_most=60)
            ours.append(CHARGES / (written.cpu - written.started))
            starts.append(written.started)
            ratios.append(ours[-1] / loops[-1])
    about = f"backfill of {CHARGES:,} charges of 3 KB"
    pace = f"documents/CPU s: {median(ours):,.0f}, bare loop {median(loops):,.0f}"
    figures.add(about, pace, median(ratios), 0.6, "of bare loop", at_least=True)
    figures.add(about, "start", median(starts), 1, "CPU s")


async def _bare(server: StripeServer) -> float:
    """CPU seconds of the bare loop over all charges."""
    async with python("-m", "bench.bare", f"{server.url}/v1/charges", server.world.key) as process:
        async for _ in lines(process):
            pass
        assert process.stderr is not None
        started, whole = map(float, (await process.stderr.read()).split())
        await process.wait()
    return whole - started


async def memory(figures: Figures) -> None:
    """Peak memory over many documents, and how fast they come where nothing bounds them."""
    async with StripeServer(charged(MANY, {})) as server:
        written = await capture(server, TASK, done, at_most=120)
    figures.add(f"backfill of {MANY:,} charges", "peak memory", written.peak / 1e6, 200, "MB")
    figures.curves.append(Curve("no limits, no latency", written.progress))
