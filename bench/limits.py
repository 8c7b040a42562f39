"""Whether a capture uses the requests that it may make, where every answer takes 100 ms and Stripe's limits
of a live account are enforced: 25 requests a second to an endpoint, 100 in all.

Requests are counted from the local Stripe's journal, from the first backfill request to the last full second.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from bench.figures import Curve, Figures
from bench.run import Json, Task, Written, capture
from bench.speed import CHARGES, PADDING, charged, done
from sandbox.stripe import StripeServer, Visit, World
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.limits import RateLimit
from source_stripe_native.models import STREAMS
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.stripe.rate_limit import MOST_PER_ENDPOINT

LATENCY: Final = 0.1
"""Seconds."""
PAGE: Final = 100
DAY: Final = 86_400
EACH: Final = 2_000
"""Objects of each kind in the capture of all streams: their children alone would take minutes."""
WATCHED: Final = 20.0
"""Seconds after which that capture is killed, its start included."""
ALL: Final = [each.NAME for each in STREAMS if not each.UNTIL_VERSION]


@dataclass(frozen=True)
class Limits:
    """What the user sets, and the requests a second in all and to one endpoint that follow from it."""

    name: str
    setting: int | None
    total: int
    endpoint: int

    def task(self, streams: Sequence[str]) -> Task:
        return Task(streams, lifted=False, requests_per_second=self.setting)


LIMITS: Final = (
    Limits("default limits", None, int(DEFAULTS.requests_live), int(DEFAULTS.requests_per_endpoint)),
    Limits("limit 100", 100, 100, MOST_PER_ENDPOINT),
)


@dataclass
class Backfill:
    """What came of a backfill: the ids captured, and the slices seen that it was read in."""

    ids: set[str] = field(default_factory=set)
    slices: set[str] = field(default_factory=set)

    def take(self, _: str, document: Json) -> None:
        self.ids.add(document["id"])

    def done(self, written: Written) -> bool:
        backfill = written.of("Charges").get("backfill") or {}
        # A single task's state is flat.
        self.slices |= {""} if "cutoff" in backfill else backfill.keys()
        return done(written)


def limited(world: World) -> StripeServer:
    return StripeServer(world, latency=LATENCY, limits=RateLimit())


async def one_stream(figures: Figures) -> None:
    """A large stream's backfill, and how its documents come."""
    world = charged(CHARGES, PADDING, livemode=True)
    expected = {each["id"] for each in world.list_all("charge")}
    for limits in LIMITS:
        await _one_stream(figures, world, expected, limits)


async def _one_stream(figures: Figures, world: World, expected: set[str], limits: Limits) -> None:
    backfill = Backfill()
    async with limited(world) as server:
        task = limits.task(["Charges"])
        written = await capture(server, task, backfill.done, backfill.take, at_most=60)
        visits = list(server.journal)
    listed = [each for each in visits if each.path == "/v1/charges"]
    about = f"{CHARGES:,} charges at 100 ms, {limits.name}"
    least = math.ceil(CHARGES / PAGE)
    figures.add(about, "charges missing", len(expected - backfill.ids), 0)
    _busy(figures, about, visits, rate(listed, _began(listed)), limits.endpoint)
    figures.add(
        about,
        f"requests, slices: {len(backfill.slices)}",
        len(listed) / least,
        1.05 + len(backfill.slices) / least,
        "of the least",
    )
    figures.curves.append(Curve(f"100 ms, {limits.endpoint} requests/s allowed", written.progress))


async def all_streams(figures: Figures) -> None:
    """A capture of everything, as long as there is plenty of everything."""
    world = populated()
    for limits in LIMITS:
        async with limited(world) as server:
            task = limits.task(ALL)
            written = await capture(server, task, lambda _: False, killed_after=WATCHED, at_most=60)
            visits = list(server.journal)
        about = f"all {len(ALL)} streams at 100 ms, {limits.name}"
        figures.add(about, "from start to first document", written.first, 3, "s")
        _busy(figures, about, visits, rate(visits, _began(visits)), limits.total)


def populated() -> World:
    """A live account with as many objects of each kind, the children spread over their parents."""
    world, rng = World(seed=1, livemode=True), Random(1)
    now = world.clock.now()
    for kind in KINDS.values():
        parent = kind.parent
        # What hangs on an account belongs to connected ones. Accounts and events are none to be made here.
        if kind.name in ("event", "account") or (parent and parent.kind == "account"):
            continue
        parents = list(world.table(parent.kind).by_id) if parent else []
        for number in range(EACH):
            fields: Json = {parent.argument: rng.choice(parents)} if parent and parents else {}
            world.create(kind.name, at=now - DAY + number, event=False, **fields)
    return world


def rate(visits: Sequence[Visit], since: float) -> float:
    """Requests a second from `since` to the last full second, without those refused for their rate."""
    times = [each.started_at - since for each in visits if each.status != 429]
    seconds = math.floor(max(times))
    return sum(0 <= each < seconds for each in times) / seconds


def _began(visits: Sequence[Visit]) -> float:
    """When the first page of a list was asked for: not a probe, and not the events."""
    return min(
        each.started_at
        for each in visits
        if each.query.get("limit") == str(PAGE) and each.path != "/v1/events"
    )


def _busy(figures: Figures, about: str, visits: Sequence[Visit], seen: float, allowed: int) -> None:
    figures.add(about, f"requests/s: {seen:.1f} of {allowed}", seen / allowed, 0.9, "of limit", at_least=True)
    refused = sum(each.status == 429 for each in visits) / len(visits)
    figures.add(about, "requests answered 429", 100 * refused, 1, "%")
