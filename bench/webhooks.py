"""How soon changes arrive that Stripe posts, and what a capture asks for while posts announce everything:
side by side with the same capture without posts."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from statistics import median, quantiles
from typing import Final

import aiohttp

from bench.accounts import ALL, followed_since, platform
from bench.cadence import LATENCY, single
from bench.figures import Figures
from bench.run import Json, Task, capture, free_port
from sandbox.stripe import StripeServer, World
from sandbox.stripe.webhooks import SECRET, Webhooks, register, sign

CHANGES: Final = 60
EVERY: Final = 0.7
"""Seconds from one change to the next, in the mean."""
FLEETS: Final = (10_000, 50_000)
ACTIVE: Final = 100
SPREAD: Final = 60
"""Seconds by which the cursors of an account's bindings differ at most."""
POSTS: Final = 2_000
QUIET: Final = 30
ROUND: Final = 300
"""Seconds by which the clock goes on with each round of quiet accounts."""
ROUNDS: Final = 110
WATCHED: Final = 72
"""The last rounds, of six hours: how long a list waits."""


@dataclass
class Delays:
    """When products changed, by id and version, and how long each took to its document."""

    world: World
    rng: Random = field(default_factory=lambda: Random(3))
    made: dict[tuple[str, str], float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the capture is open."""

    async def go_on(self, accounts: list[str], changes: int, every: float) -> None:
        """Makes `changes` in some of `accounts`, at random times, since even ones keep step with readings."""
        products = {each: str(self.world.create("product", each, event=False)["id"]) for each in accounts}
        await self.opened.wait()
        await asyncio.sleep(5)
        for number in range(changes):
            account = self.rng.choice(accounts)
            self.made[products[account], str(number)] = time.monotonic()
            self.world.update("product", products[account], account, metadata={"n": str(number)})
            if number < changes - 1:
                await asyncio.sleep(self.rng.uniform(0, 2 * every))

    def take(self, stream: str, document: Json) -> None:
        if stream == "Products":
            number = document["metadata"].get("n", "")
            if (at := self.made.pop((document["id"], number), None)) is not None:
                self.seconds.append(time.monotonic() - at)
                # What a newer version has superseded arrives with it.
                for key in [
                    key for key in self.made if key[0] == document["id"] and int(key[1]) < int(number)
                ]:
                    del self.made[key]

    @property
    def p99(self) -> float:
        return quantiles(self.seconds, n=100)[98]


@asynccontextmanager
async def posting(world: World) -> AsyncIterator[int]:
    """Posts the world's events to a port for the connector."""
    port = free_port()
    register(world, f"http://127.0.0.1:{port}/")
    async with Webhooks(world):
        yield port


async def delays(figures: Figures) -> None:
    """Of one account, with posts at the default interval, and without at a short one."""
    with_posts, without = await asyncio.gather(_delays(posted=True), _delays(posted=False))
    about = f"one account x {len(ALL)} bindings at PT5M and 100 ms, a change every {EVERY} s, posted"
    figures.add(about, f"changes missing of {CHANGES}", len(with_posts.made), 0)
    figures.add(about, "delay, p50", median(with_posts.seconds), 1.5, "s")
    figures.add(about, "delay, p99", with_posts.p99, 3, "s")
    about = "the same at PT10S without posts"
    figures.add(about, "delay, p50", median(without.seconds), 15, "s")
    figures.add(about, "delay, p99", without.p99, 25, "s")


async def _delays(*, posted: bool) -> Delays:
    world = World(seed=1, unordered=True)
    found = Delays(world)
    streams = [each for each in ALL if each != "Events"]
    state = single(followed_since(world, datetime.now(tz=UTC)))
    async with StripeServer(world, latency=LATENCY) as server, posting(world) as port:
        changing = asyncio.create_task(found.go_on([world.platform], CHANGES, EVERY))
        await capture(
            server,
            Task(
                streams,
                state=state,
                interval="PT5M" if posted else "PT10S",
                lifted=False,
                secret=SECRET if posted else "",
                port=port,
            ),
            lambda _: len(found.seconds) > 1 and changing.done() and not found.made,
            found.take,
            opened=found.opened.set,
            at_most=CHANGES * EVERY + 60,
        )
    return found


async def fleet(figures: Figures) -> None:
    """Of many accounts with a live key, a hundred of which are active."""
    for accounts in FLEETS:
        await _fleet(figures, accounts)


async def _fleet(figures: Figures, accounts: int) -> None:
    world = platform(accounts, livemode=True)
    found = Delays(world)
    now = datetime.now(tz=UTC)
    active = world.accounts[1 : 1 + ACTIVE]
    streams = [each for each in ALL if each != "Events"]
    async with StripeServer(world, latency=LATENCY) as server, posting(world) as port:
        changing = asyncio.create_task(found.go_on(active, CHANGES, EVERY))
        task = Task(
            streams,
            connected=True,
            state=followed_since(world, now - timedelta(minutes=4), SPREAD),
            lifted=False,
            secret=SECRET,
            port=port,
        )
        written = await capture(
            server,
            task,
            lambda _: len(found.seconds) > 1 and changing.done() and not found.made,
            found.take,
            opened=found.opened.set,
            at_most=CHANGES * EVERY + 120,
        )
    about = f"{accounts:,} accounts x {len(streams)} bindings, live key, {ACTIVE} of them active, posted"
    figures.add(about, "delay, p50", median(found.seconds), 5, "s")
    figures.add(about, "delay, p99", found.p99, 5, "s")
    figures.add(about, "longest delay", max(found.seconds), 5, "s")
    figures.add(about, "peak memory", written.peak / 1e6, 200, "MB")


async def quiet(figures: Figures) -> None:
    """What accounts without notices cost in an hour, once posts are relied on. The clock goes on by five
    minutes with each second."""
    world = platform(QUIET)
    busy, resting = world.accounts[1], world.accounts[2:]
    state = followed_since(world, datetime.fromtimestamp(world.clock.now(), tz=UTC) - timedelta(minutes=10))

    async def go_on() -> None:
        product = str(world.create("product", busy, event=False)["id"])
        for number in range(2 * ROUNDS):
            await asyncio.sleep(0.5)
            world.update("product", product, busy, metadata={"number": str(number)})
            await asyncio.sleep(0.5)
            world.clock.advance(ROUND - 1)

    async with StripeServer(world) as server, posting(world) as port:
        going_on = asyncio.create_task(go_on())
        task = Task(ALL, connected=True, state=state, interval="PT1S", secret=SECRET, port=port, rested=12)
        await capture(server, task, lambda _: False, killed_after=ROUNDS, at_most=2 * ROUNDS)
        going_on.cancel()
        last = max(each.started_at for each in server.journal)
        visits = [each for each in server.journal if each.started_at > last - WATCHED]
    asked = [each for each in visits if each.account in resting and each.query.get("limit") == "100"]
    hours = WATCHED * ROUND / 3600
    about = f"a quiet account of {QUIET} x {len(ALL)} bindings, of which 5 lists are polled, posts relied on"
    figures.add(about, "requests/hour", len(asked) / len(resting) / hours, 3)


async def burst(figures: Figures) -> None:
    """Two thousand posts within a second."""
    world = World(seed=1)
    state = single(followed_since(world, datetime.now(tz=UTC)))
    took = list[float]()
    async with StripeServer(world, latency=LATENCY) as server:
        port, opened = free_port(), asyncio.Event()

        async def post(session: aiohttp.ClientSession, number: int) -> None:
            await asyncio.sleep(number / POSTS)
            body = (
                b'{"id": "evt_%d", "object": "event", "type": "product.updated", "livemode": false}' % number
            )
            headers = {"Stripe-Signature": sign(SECRET, body, world.clock.now())}
            start_time = time.monotonic()
            async with session.post(f"http://127.0.0.1:{port}/", data=body, headers=headers) as response:
                assert response.status == 200
            took.append(time.monotonic() - start_time)

        async def send() -> None:
            await opened.wait()
            await asyncio.sleep(3)
            connector = aiohttp.TCPConnector(limit=200)
            async with aiohttp.ClientSession(connector=connector) as session:
                await asyncio.gather(*(post(session, number) for number in range(POSTS)))

        sending = asyncio.create_task(send())
        streams = [each for each in ALL if each != "Events"]
        task = Task(streams, state=state, lifted=False, secret=SECRET, port=port)
        await capture(server, task, lambda _: False, opened=opened.set, killed_after=25, at_most=60)
        await sending
        seconds = [int(each.started_at) for each in server.journal.visits("/v1/events")]
    about = f"{POSTS:,} posts in a second, for one account x {len(streams)} bindings"
    figures.add(about, "posts answered", len(took), POSTS, at_least=True)
    figures.add(about, "longest wait for an answer", max(took), 1, "s")
    figures.add(about, "most event requests in a second", max(map(seconds.count, seconds)), 20)
