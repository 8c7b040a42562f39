"""`python -m bench` measures everything, prints one table and draws the picture; it exits with 1 where a
figure misses its target. `python -m bench speed limits` measures those parts alone and draws nothing."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from bench import accounts, cadence, fleet, limits, memory, opening, requests, speed, start, webhooks
from bench.figures import Figures
from bench.plot import draw

PARTS: Final[dict[str, Sequence[Callable[[Figures], Awaitable[None]]]]] = {
    "speed": (speed.pairs, speed.memory),
    "limits": (limits.one_stream, limits.all_streams),
    "requests": (
        requests.shown_children,
        requests.shared_pages,
        requests.tiered_prices,
        requests.rereads,
        requests.new_records,
    ),
    "accounts": (
        accounts.listing,
        accounts.quiet_rounds,
        accounts.backfill,
        accounts.kills,
        opening.quiet,
        opening.very_many,
        opening.new,
        fleet.at_the_limit,
    ),
    "cadence": (cadence.freshness,),
    "webhooks": (webhooks.delays, webhooks.fleet, webhooks.quiet, webhooks.burst),
    "start": (start.start,),
    "memory": (memory.stalled_reader, memory.slow_reader, memory.growing_pages),
}
AT_MOST: Final = 1_800
"""Seconds for all of it."""


async def main(names: Sequence[str]) -> Figures:
    figures = Figures()
    start_time = time.monotonic()
    for name in names:
        for measure in PARTS[name]:
            about = f"{name}: {measure.__name__.replace('_', ' ')}"
            print(f"{time.monotonic() - start_time:4.0f} s  {about}", file=sys.stderr, flush=True)
            try:
                async with asyncio.timeout(AT_MOST - (time.monotonic() - start_time)):
                    await measure(figures)
            except Exception as error:  # noqa: BLE001 - what was measured is to be shown all the same
                figures.broken[about] = f"{type(error).__name__}: {error}"
    return figures


if __name__ == "__main__":
    wanted = sys.argv[1:] or list(PARTS)
    if unknown := set(wanted) - PARTS.keys():
        sys.exit(f"there is no {', '.join(unknown)}: name some of {', '.join(PARTS)}, or none for all")
    try:
        measured = asyncio.run(main(wanted))
    except KeyboardInterrupt:
        sys.exit(130)
    measured.show()
    if wanted == list(PARTS):
        draw(measured)
    if measured.missed:
        sys.exit(f"{len(measured.missed)} figures missed their target")
