"""Ten thousand connected accounts at the rate limit of a live key: how old what was read of an account is at
most, how soon changes arrive, and what it takes.

Two hundred accounts have a new charge a minute. The others are quiet.
"""

import asyncio
import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import quantiles
from typing import Final

import orjson

from bench.accounts import ALL, PAGE, followed_since, platform
from bench.figures import Figures
from bench.opening import CHECKPOINT, MINUTE, Opened
from bench.run import CAPTURED, Task, cpu, lines, peak, python
from sandbox.stripe import StripeServer, Visit, World
from sandbox.stripe.limits import RateLimit
from source_stripe_native.settings import DEFAULTS

ACCOUNTS: Final = 10_000
ACTIVE: Final = 200
INTERVAL: Final = 120
"""Seconds: a little less than a round takes at the limit."""
SECONDS: Final = 330
"""How long the capture is watched: two and a half rounds."""
SPARE: Final = 60
"""Seconds beyond a round in which everything has to be there."""


@dataclass
class Fleet(Opened):
    """A capture as it was watched: `captured` is when each charge came with a checkpoint, in seconds of the
    world's clock; CPU seconds in all."""

    captured: dict[str, float] = field(default_factory=dict)
    cpu: float = 0.0


async def at_the_limit(figures: Figures) -> None:
    world = platform(ACCOUNTS, livemode=True)
    active = world.accounts[1 : 1 + ACTIVE]
    made: dict[str, float] = {}
    found = Fleet()
    since = datetime.now(tz=UTC) - timedelta(seconds=INTERVAL)
    async with StripeServer(world, latency=0.05, limits=RateLimit()) as server:
        environment = {"STRIPE_API_BASE": server.url, "LOG_LEVEL": "WARN"}
        async with python("-m", "source_stripe_native", environment=environment) as process:
            assert process.stdin is not None
            task = Task(ALL, connected=True, state=followed_since(world, since), interval=f"PT{INTERVAL}S")
            process.stdin.write(orjson.dumps(task.request(world.key)) + b"\n")
            drain = asyncio.create_task(_drain(process, world, found))
            while not server.journal.visits("/v1/events", limit=str(PAGE)):
                if drain.done():
                    assert process.stderr is not None
                    raise RuntimeError((await process.stderr.read()).decode()[-2000:])
                await asyncio.sleep(0.1)
            began = time.monotonic()
            changing = asyncio.create_task(_change(world, active, made))
            with suppress(TimeoutError):
                await asyncio.wait_for(drain, SECONDS)
            changing.cancel()
            found.peak, found.cpu = peak(process.pid), cpu(process.pid)
        visits = [each for each in server.journal if each.started_at >= began]
    rate = DEFAULTS.utilisation * DEFAULTS.requests_live
    round_time = max(INTERVAL, ACCOUNTS / rate)
    about = f"{ACCOUNTS:,} accounts x {len(ALL)} bindings at the limit, {ACTIVE} of them active"
    ages = _ages(visits, world.accounts, began)
    figures.add(about, "age of what was read, p50", _at(ages, 50), round_time, "s")
    figures.add(about, "age of what was read, p99", _at(ages, 99), round_time + SPARE, "s")
    delays = _delays(made, found, world.clock.time() - round_time - SPARE)
    figures.add(about, "changes missing", sum(each is None for each in delays), 0)
    there = [each for each in delays if each is not None]
    figures.add(about, "delay of a change, p50", _at(there, 50), round_time, "s")
    figures.add(about, "delay of a change, p99", _at(there, 99), round_time + SPARE, "s")
    figures.add(about, "requests a round, quiet account", _a_round(visits, world.accounts[1 + ACTIVE :]), 1.5)
    figures.add(about, "requests a round, active account", _a_round(visits, active), 3)
    figures.add(about, "peak memory", found.peak / 1e6, 350, "MB")
    figures.add(about, "state written a minute, at most", found.most_a_minute() / 1e6, 3, "MB")
    figures.add(about, "CPU share", found.cpu / SECONDS, 0.8, "of a processor")


async def _change(world: World, accounts: list[str], made: dict[str, float]) -> None:
    """A new charge in each of `accounts` a minute, evenly."""
    while True:
        for account in accounts:
            at = world.clock.time()
            made[world.create("charge", account)["id"]] = at
            await asyncio.sleep(MINUTE / len(accounts))


async def _drain(process: asyncio.subprocess.Process, world: World, found: Fleet) -> None:
    pending: list[str] = []
    charges = ALL.index("Charges")
    start = CAPTURED + str(charges).encode() + b","
    async for line in lines(process):
        if line.startswith(CHECKPOINT):
            found.written.append((time.monotonic(), len(line)))
            now = world.clock.time()
            for each in pending:
                found.captured.setdefault(each, now)
            pending.clear()
        elif line.startswith(start):
            pending.append(str(orjson.loads(line)["captured"]["doc"]["id"]))


def _ages(visits: list[Visit], accounts: list[str], began: float) -> list[float]:
    """How old what was read of each account was when it was read next, or at the end."""
    times: dict[str, list[float]] = {each: [began] for each in accounts}
    for each in visits:
        if each.path == "/v1/events" and each.query.get("limit") == str(PAGE):
            times[each.account].append(each.started_at)
    return [later - earlier for own in times.values() for earlier, later in pairwise([*own, began + SECONDS])]


def _delays(made: dict[str, float], found: Fleet, until: float) -> list[float | None]:
    """The seconds from each change made before `until` to its checkpoint, None where there is none."""
    return [
        found.captured[id] - at if id in found.captured else None for id, at in made.items() if at < until
    ]


def _a_round(visits: list[Visit], accounts: list[str]) -> float:
    """Requests for each event request of `accounts`."""
    counts: dict[bool, int] = defaultdict(int)
    wanted = set(accounts)
    for each in visits:
        if each.account in wanted:
            counts[each.path == "/v1/events"] += 1
    return (counts[True] + counts[False]) / max(1, counts[True])


def _at(values: list[float], percent: int) -> float:
    return quantiles(values, n=100)[percent - 1]
