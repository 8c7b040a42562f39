"""One account's backfill of 30,000 charges of 3 KB, as documents per CPU second of the process, against a
bare loop that reads the same pages. Both without their start, which is measured apart.

`python -m bench.speed` prints the median of several pairs of runs, since a machine's speed drifts.
"""

import asyncio
import sys
from statistics import median
from typing import Final

from bench.run import capture
from sandbox.stripe import StripeServer, World

CHARGES: Final = 30_000
PAIRS: Final = 5
PADDING: Final = {f"note_{number}": "x" * 40 for number in range(24)}
"""Metadata that makes a charge 3 KB."""


async def bare(url: str) -> float:
    """CPU seconds of the bare loop over the list at `url`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.bare", url, WORLD.key),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    return float(stderr.split()[1])


async def main() -> None:
    now = WORLD.clock.now()
    for number in range(CHARGES):
        WORLD.create("charge", at=now - 86_400 * 30 + number, event=False, metadata=PADDING)
    rates: list[tuple[float, float]] = []
    async with StripeServer(WORLD) as server:
        charges = f"{server.url}/v1/charges"
        for _ in range(PAIRS):
            idle = await bare(f"{charges}?created[gt]={now}")
            started = await capture(server, ["Charges"], lambda _: True)
            loop = await bare(charges)
            whole = await capture(
                server,
                ["Charges"],
                lambda written: bool(written.documents) and not written.of("Charges").get("backfill"),
            )
            rates.append((CHARGES / (loop - idle), CHARGES / (whole.cpu - started.cpu)))
    print(f"bare loop: {median(loop for loop, _ in rates):,.0f} documents per CPU second")
    print(f"connector: {median(ours for _, ours in rates):,.0f} documents per CPU second")
    print(f"ratio of each pair: {', '.join(f'{ours / loop:.2f}' for loop, ours in rates)}")
    print(f"start: {started.cpu:.2f} CPU s, first document after {whole.first:.2f} s")
    print(f"peak memory: {whole.peak / 1e6:.0f} MB")


WORLD: Final = World(seed=1)

if __name__ == "__main__":
    asyncio.run(main())
