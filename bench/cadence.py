"""How soon changes arrive and what looking for them costs: requests a round of quiet and of active accounts,
the delay of changes with a short interval, and event requests of a busy account.

The three are measured at once, as all of them mostly wait.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median
from typing import Final

from bench.accounts import ALL, followed_since, platform
from bench.figures import Figures
from bench.run import Json, Task, capture
from sandbox.stripe import StripeServer, Visit, World

ROUND: Final = 300
"""Seconds by which the world's clock goes on with each round: the default interval."""
ROUNDS: Final = 60
ACCOUNTS: Final = 20
ACTIVE: Final = 5
"""Accounts of them in which something happens in each round."""
LATENCY: Final = 0.1
"""Seconds."""
CHANGES: Final = 30
EVERY: Final = 4.0
"""Seconds from one change to the next, in the mean."""
A_SECOND: Final = 5
BUSY: Final = 62
"""Seconds for which the busy account is watched: the overlap is read within them."""
HISTORY: Final = 700
"""Seconds for which it was busy before."""


async def freshness(figures: Figures) -> None:
    rounds, delays, busy = await asyncio.gather(_rounds(), _delays(), _busy())
    about = f"{ROUNDS} rounds over {ACCOUNTS} accounts x {len(ALL)} bindings, of which 5 lists are polled"
    figures.add(about, "requests/quiet account and round", rounds.quiet, 1.2)
    figures.add(about, "requests/active account and round", rounds.active, 3)
    about = f"one account x {len(ALL)} bindings at PT10S and 100 ms, a change every {EVERY:.0f} s"
    figures.add(about, f"changes missing of {CHANGES}", CHANGES - len(delays.seconds), 0)
    figures.add(about, "delay, p50", median(delays.seconds), 15, "s")
    figures.add(about, "delay, longest", max(delays.seconds), 25, "s")
    figures.add(about, "event requests/minute", delays.requests, 8)
    about = f"one account at PT1S, {A_SECOND} changes a second for {HISTORY} s"
    figures.add(about, "event requests/s", busy, 2)


def _looks(visits: Sequence[Visit], accounts: Collection[str]) -> tuple[int, int]:
    """Event requests for `accounts`, and requests of lists."""
    of_accounts = [each for each in visits if each.account in accounts and each.query.get("limit") == "100"]
    events = sum(each.path == "/v1/events" for each in of_accounts)
    return events, len(of_accounts) - events


@dataclass(frozen=True)
class _Rounds:
    quiet: float
    active: float


async def _rounds() -> _Rounds:
    """With an interval of a second, and a clock that goes on by one of five minutes in each."""
    world = platform(ACCOUNTS)
    active, quiet = world.accounts[1 : 1 + ACTIVE], world.accounts[1 + ACTIVE :]
    products = {each: world.create("product", each, event=False)["id"] for each in active}
    state = followed_since(world, datetime.fromtimestamp(world.clock.now(), tz=UTC) - timedelta(minutes=10))

    async def go_on() -> None:
        for number in range(2 * ROUNDS):
            await asyncio.sleep(1)
            for account, product in products.items():
                world.update("product", product, account, metadata={"number": str(number)})
            world.clock.advance(ROUND - 1)

    async with StripeServer(world) as server:
        going_on = asyncio.create_task(go_on())
        task = Task(ALL, connected=True, state=state, interval="PT1S")
        await capture(server, task, lambda _: False, killed_after=ROUNDS, at_most=2 * ROUNDS)
        going_on.cancel()
        visits = list(server.journal)
    costs = [sum(_looks(visits, each)) / _looks(visits, each)[0] for each in (quiet, active)]
    return _Rounds(*costs)


@dataclass
class _Delays:
    world: World
    requests: float = 0.0
    """Event requests a minute."""
    made: dict[str, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    async def go_on(self) -> None:
        # At random times, since even ones keep step with the readings.
        rng = Random(3)
        for _ in range(CHANGES):
            at = self.world.clock.time()
            self.made[self.world.create("customer")["id"]] = at
            await asyncio.sleep(rng.uniform(0, 2 * EVERY))

    def take(self, _: str, document: Json) -> None:
        if (at := self.made.pop(document["id"], None)) is not None:
            self.seconds.append(self.world.clock.time() - at)


async def _delays() -> _Delays:
    world = World(seed=1, unordered=True)
    delays = _Delays(world)
    streams = [each for each in ALL if each != "Events"]
    state = single(followed_since(world, datetime.now(tz=UTC)))
    async with StripeServer(world, latency=LATENCY) as server:
        changing = list[asyncio.Task[None]]()
        began = world.clock.time()
        task = Task(streams, state=state, interval="PT10S")
        await capture(
            server,
            task,
            lambda _: len(delays.seconds) == CHANGES,
            delays.take,
            opened=lambda: changing.append(asyncio.create_task(delays.go_on())),
            at_most=CHANGES * EVERY + 60,
        )
        minutes = (world.clock.time() - began) / 60
        delays.requests = len(server.journal.visits("/v1/events", limit="100")) / minutes
    return delays


async def _busy() -> float:
    """Event requests a second."""
    world = World(seed=1, unordered=True)
    now = world.clock.now()
    for number in range(HISTORY * A_SECOND):
        world.create("customer", at=now - HISTORY + number // A_SECOND)

    async def go_on() -> None:
        for _ in range(2 * BUSY * A_SECOND):
            world.create("customer")
            await asyncio.sleep(1 / A_SECOND)

    state = single(followed_since(world, datetime.fromtimestamp(now, tz=UTC) - timedelta(seconds=20)))
    async with StripeServer(world, latency=LATENCY) as server:
        changing = asyncio.create_task(go_on())
        task = Task(["Customers", "Prices"], state=state, interval="PT1S")
        await capture(server, task, lambda _: False, killed_after=BUSY + 10, at_most=2 * BUSY)
        changing.cancel()
        last = max(each.started_at for each in server.journal)
        visits = [each for each in server.journal.visits("/v1/events") if each.started_at > last - BUSY]
    return len(visits) / BUSY


def single(state: Json) -> Json:
    """The state of connected accounts as one of the platform alone."""
    bindings = {
        name: {
            **each,
            "inc": next(iter(each["inc"].values())) if "cursor" not in each["inc"] else each["inc"],
        }
        for name, each in state["bindingStateV1"].items()
    }
    return {"bindingStateV1": bindings}
