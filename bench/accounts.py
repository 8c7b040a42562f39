"""Connected accounts by the thousand: what listing, backfilling and following them takes, and whether changes
arrive in time while the connector is killed again and again."""

import asyncio
import math
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from logging import getLogger
from random import Random
from typing import Final

from bench.figures import Cost, Figures
from bench.run import Json, Task, Written, capture
from sandbox.stripe import StripeServer, World
from source_stripe_native.models import STREAMS
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.stripe.account_directory import connected_account_ids
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.rate_limit import RateLimiter

AT_ONCE: Final = [
    each
    for each in STREAMS
    if not each.PRODUCT and not each.UNTIL_VERSION and not each.DISABLED and each.KEY == ["/id"]
]
"""The streams of the reference catalogue, and Discounts, that discover enables for an account without special
products."""
ALL: Final = [each.NAME for each in AT_ONCE]
PER_ACCOUNT: Final = [each.NAME for each in AT_ONCE if each.PER_ACCOUNT]
FOLLOWING: Final = [each.NAME for each in AT_ONCE if each.PER_ACCOUNT and not each.POLLS]
PAGE: Final = 100
DAY: Final = 86_400
OPEN: Final = 1_000_000
"""Requests a second that stand for no limit."""
SIZES: Final = (100, 200, 400, 800)
"""Numbers of accounts that are measured; the targets are for the largest. One flush writes the cursors of so
many accounts."""
PRICES: Final = 6
"""Prices of an account that is backfilled."""


def platform(accounts: int, prices: int = 0, *, livemode: bool = False) -> World:
    """A platform whose accounts have connected within a year, with old prices."""
    world = World(seed=1, unordered=True, livemode=livemode)
    now = world.clock.now()
    for number in range(accounts):
        account = world.connect(created=now - 365 * DAY + number * 3_000)["id"]
        for each in range(prices):
            world.create("price", account, active=each % 3 != 0, created=now - DAY + each, event=False)
    return world


async def listing(figures: Figures, accounts: int = 10_000) -> None:
    async with StripeServer(platform(accounts), latency=0.02) as server:
        world = server.world
        async with StripeSession(world.key, base=server.url, rate_limiter=RateLimiter(OPEN, OPEN)) as http:
            found = await connected_account_ids(http, getLogger(), world.platform)
        visits = list(server.journal)
    at_once = max(
        sum(one.started_at <= each.started_at < one.finished_at for one in visits) for each in visits
    )
    about = f"list {accounts:,} accounts"
    figures.add(about, "accounts missing or twice", _wrong(found, world.accounts[1:]), 0)
    figures.add(about, "requests", len(visits), 1.3 * math.ceil(accounts / PAGE) + 100)
    figures.add(about, "requests in flight", at_once, 10)


def _wrong(found: list[str], expected: list[str]) -> int:
    """Ids that are missing, invented or there twice."""
    return len(set(found) ^ set(expected)) + len(found) - len(set(found))


async def quiet_rounds(figures: Figures) -> None:
    """A round over accounts in which nothing happens. A cursor that moved without a document is written
    once a minute, the rounds of all sizes go on at once."""
    figures.costs += await asyncio.gather(*map(_quiet_round, SIZES))
    last = figures.costs[-1]
    about = f"a quiet round, {last.accounts:,} accounts x {len(ALL)} bindings"
    figures.add(about, "event requests/account", last.requests_per_account, 1.1, "of the least")
    figures.add(about, "checkpoints", last.checkpoints, 500)
    figures.add(about, "peak memory", last.peak / 1e6, 150, "MB")


async def _quiet_round(accounts: int) -> Cost:
    world = platform(accounts)
    since = datetime.now(tz=UTC) - timedelta(minutes=10)
    mark = (since + timedelta(minutes=5)).isoformat()

    def done(written: Written) -> bool:
        # The cursors of polled lists wait.
        return all(each["cursor"] > mark for name in FOLLOWING for each in written.of(name)["inc"].values())

    async with StripeServer(world) as server:
        task = Task(ALL, connected=True, state=followed_since(world, since))
        written = await capture(server, task, done, at_most=200)
        events = len(server.journal.visits("/v1/events", limit=str(PAGE)))
    return Cost(accounts, events, written.cpu, written.peak, written.checkpoints)


def followed_since(world: World, cursor: datetime, spread: int = 0) -> Json:
    """The state of a capture that has backfilled everything and follows each account since `cursor`, or up to
    `spread` seconds before it, as each binding has written it last."""
    before = [(cursor - timedelta(seconds=each)).strftime("%Y-%m-%dT%H:%M:%SZ") for each in range(spread + 1)]
    at, rng = before[0], Random(1)

    def inc(name: str) -> Json:
        if name not in PER_ACCOUNT:
            return {"cursor": at}
        return {each: {"cursor": rng.choice(before) if spread else at} for each in world.accounts}

    return {"bindingStateV1": {name: {"inc": inc(name), "last_initialized": at} for name in ALL}}


async def backfill(figures: Figures, accounts: int = 5_000) -> None:
    world = platform(accounts, PRICES)
    expected = [each["id"] for account in world.accounts for each in world.list_all("price", account)]
    found: list[str] = []

    def done(written: Written) -> bool:
        return len(found) >= len(expected) and not written.of("Prices").get("backfill")

    async with StripeServer(world) as server:
        task = Task(["Prices"], connected=True)
        written = await capture(server, task, done, lambda _, each: found.append(each["id"]), at_most=180)
        requests = len(server.journal)
    least = 2 * len(world.accounts) + math.ceil(accounts / PAGE)
    about = f"backfill Prices of {accounts:,} accounts"
    figures.add(about, "prices missing or twice", _wrong(found, expected), 0)
    figures.add(about, "requests", requests / least, 1.1, "of the least")
    figures.add(about, "peak memory", written.peak / 1e6, 400, "MB")


# Changes while it runs

INTERVAL: Final = 10
KINDS: Final = {"Prices": "price", "Products": "product"}
GONE: Final = 1 << 30
"""The version of an object that is deleted, after all others."""


@dataclass
class Changes:
    """What was changed, when it could be read, and when it was captured: in seconds of the world's clock, by
    object, each with the object's version."""

    world: World
    rng: Random = field(default_factory=lambda: Random(1))
    readable: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    captured: dict[str, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    last: dict[str, dict[str, Json]] = field(default_factory=lambda: defaultdict(dict))
    down: list[tuple[float, float]] = field(default_factory=list)
    down_since: float = 0.0

    async def go_on(self, a_second: float, seconds: float) -> None:
        """Changes at random, of which no event is later than the lag."""
        for _ in range(int(a_second * seconds)):
            self._change()
            await asyncio.sleep(1 / a_second)

    def _change(self) -> None:
        account, kind = self.rng.choice(self.world.accounts), self.rng.choice(list(KINDS.values()))
        late = self.rng.choice([0, 0, 2, 8])
        listed = self.world.list_all(kind, account)
        deed = self.rng.choices(("create", "update", "delete"), (3, 6, 1))[0] if listed else "create"
        readable_at = self.world.clock.now() + DEFAULTS.lag.total_seconds()
        if deed == "create":
            made = self.world.create(kind, account, visible_after=late, metadata={"version": "0"})
            self.readable[made["id"]][0] = readable_at
            return
        found = self.rng.choice(listed)
        version = int(found["metadata"].get("version", -1)) + 1 if deed == "update" else GONE
        if deed == "update":
            metadata = {"version": str(version)}
            self.world.update(kind, found["id"], account, visible_after=late, metadata=metadata)
        else:
            self.world.delete(kind, found["id"], account, visible_after=late)
        self.readable[found["id"]][version] = readable_at

    def is_up(self) -> None:
        self.down.append((self.down_since, self.world.clock.time()))

    def take(self, stream: str, document: Json) -> None:
        """A document of which a checkpoint was just written."""
        id, op = document["id"], document["_meta"]["op"]
        version = GONE if op == "d" else int(document.get("metadata", {}).get("version", -1))
        self.captured[id].setdefault(version, self.world.clock.time())
        if op == "d":
            self.last[stream].pop(id, None)
        else:
            self.last[stream][id] = {
                key: value for key, value in document.items() if key not in ("_meta", "account_id")
            }

    def delays(self) -> list[float]:
        """Of each change the seconds from when it could be read to the first checkpoint with it or with a
        later version of the object, less those in which no connector ran. Infinite where it is lost."""
        return [
            self._up(at, min((t for v, t in self.captured[id].items() if v >= version), default=math.inf))
            for id, versions in self.readable.items()
            for version, at in versions.items()
        ]

    def _up(self, since: float, until: float) -> float:
        down = sum(max(0.0, min(until, end) - max(since, start)) for start, end in self.down)
        return max(0.0, until - since - down)

    def wrong(self) -> int:
        """Objects that the captured tables lack, have too many, or have in another than their last state."""
        count = 0
        for stream, kind in KINDS.items():
            lists = (self.world.list_all(kind, account) for account in self.world.accounts)
            expected = {each["id"]: each for found in lists for each in found}
            have = self.last[stream]
            count += sum(have.get(id) != expected.get(id) for id in have.keys() | expected.keys())
        return count


async def kills(figures: Figures, accounts: int = 300, number: int = 5) -> None:
    world = platform(accounts, prices=1)
    changes = Changes(world)
    rng, state = Random(2), dict[str, object]()
    async with StripeServer(world) as server:
        changing = asyncio.create_task(changes.go_on(20, 60))

        def done(_: Written) -> bool:
            return changing.done() and max(changes.delays()) < math.inf and not changes.wrong()

        for session in range(number + 1):
            last = session == number
            if last:
                await changing
            written = await capture(
                server,
                Task(list(KINDS), connected=True, state=state, interval=f"PT{INTERVAL}S"),
                done,
                changes.take,
                at_most=200,
                killed_after=150 if last else rng.uniform(8, 20),
                opened=changes.is_up,
            )
            state, changes.down_since = written.state, world.clock.time()
    delays = changes.delays()
    about = f"{accounts} accounts changing, killed {number} times"
    figures.add(about, f"changes lost of {len(delays)}", sum(each == math.inf for each in delays), 0)
    figures.add(about, "objects not in their last state", changes.wrong(), 0)
    figures.add(about, "longest delay", max(delays), 2 * INTERVAL, "s")
