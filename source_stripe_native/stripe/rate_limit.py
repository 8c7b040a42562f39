"""Rate limits of the process: requests a second in all and to each endpoint, changes before backfills.

Rule: no second has more requests than the limit, and requests are evenly spaced a little below it. A request
that a late wake-up delayed leaves at once afterwards, and still no second has more than the limit rounded up.
A 429 reduces the limit that it names; the limit then recovers by a few per cent a second. Background requests
(backfills) have the lowest priority, and one request in ten while others wait.

Limits: they are one set for the process. Other users of the same Stripe account are seen only by the 429s
that they cause. The decisions are pure functions of numbers; only `RateLimiter.acquire` waits.
"""

import asyncio
import itertools
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from source_stripe_native.settings import DEFAULTS, Settings

RECOVERED: Final = 1000
"""Seconds after which any rate is back at its ceiling."""

NAMESPACES: Final = frozenset(
    (
        *("apple_pay", "apps", "balance", "billing", "billing_portal", "checkout", "climate", "entitlements"),
        *("financial_connections", "forwarding", "identity", "issuing", "radar", "reporting", "sigma"),
        *("tax", "terminal", "test_helpers", "treasury"),
    )
)
"""First segments of a path below /v1/ that hold collections instead of being one."""


def endpoint_of(path: str) -> str:
    """The shape of a path ("/v1/..."), which is what Stripe limits: each id replaced by `{}`. Ids are known
    by their place after a collection, as users choose the spelling of some."""
    parts = path.removeprefix("/v1/").split("/")
    first_id = 2 if parts[0] in NAMESPACES else 1
    parts[first_id::2] = ["{}"] * len(parts[first_id::2])
    return f"/v1/{'/'.join(parts)}"


@dataclass
class Limit:
    """A number of requests a second, `ceiling` at most. Times are seconds of one monotonic clock."""

    ceiling: float
    settings: Settings = DEFAULTS
    opens_time: float = -math.inf
    """When the next request may leave."""
    _reduced: float = math.inf
    _reduced_time: float = -math.inf

    def rate(self, now: float) -> float:
        elapsed = min(now - self._reduced_time, RECOVERED)
        return min(self.ceiling, self._reduced * math.pow(self.settings.recovery, elapsed))

    def take(self, now: float) -> None:
        """Counts a request that leaves `now`."""
        gap = 1 / (self.settings.utilisation * self.rate(now))
        self.opens_time = max(self.opens_time, now - self.settings.max_lateness) + gap

    def reduce(self, now: float) -> None:
        """Lowers the rate after a 429."""
        if now >= self._reduced_time + self.settings.reduction_interval:
            floor = min(self.ceiling, self.settings.min_rate)
            self._reduced = max(self.rate(now) * self.settings.reduction, floor)
            self._reduced_time = now


WaitQueue = deque[tuple[int, asyncio.Future[None]]]
"""Requests that wait, each with the number of its arrival."""


class RateLimiter:
    """Requests a second, in all and to each endpoint (see `endpoint_of`). Each request acquires its place,
    and releases it once it is answered."""

    def __init__(self, total: float, per_endpoint: float, settings: Settings = DEFAULTS) -> None:
        self._settings = settings
        self._total = Limit(total, settings)
        self._per_endpoint = per_endpoint
        self._endpoints: dict[str, Limit] = {}
        self._queues: dict[tuple[str, bool], WaitQueue] = {}
        """By endpoint, and whether the requests are background requests."""
        self._arrivals = itertools.count()
        self._admitted = 0
        self._in_flight = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def ceiling(self) -> float:
        """Requests a second in all while no 429 has reduced them."""
        return self._total.ceiling

    async def acquire(self, endpoint: str, *, background: bool = False) -> None:
        """Returns once the request may leave: first come, first served, but background requests last."""
        self._limit(endpoint)
        admitted = asyncio.get_running_loop().create_future()
        self._queues.setdefault((endpoint, background), deque()).append((next(self._arrivals), admitted))
        self._admit()
        try:
            await admitted
        except asyncio.CancelledError:
            if not admitted.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Says that a request was answered, or never will be."""
        self._in_flight -= 1
        self._admit()

    def refused(self, endpoint: str, reason: str | None) -> None:
        """Reduces the limit that a 429 is about. `reason` is its `Stripe-Rate-Limited-Reason`; without one
        the 429 is about all requests. Any other reason concerns that one request alone."""
        now = asyncio.get_running_loop().time()
        if (reason or "global").startswith("global"):
            self._total.reduce(now)
        elif reason and reason.startswith("endpoint"):
            self._limit(endpoint).reduce(now)

    def _limit(self, endpoint: str) -> Limit:
        if endpoint not in self._endpoints:
            self._endpoints[endpoint] = Limit(self._per_endpoint, self._settings)
        return self._endpoints[endpoint]

    def _admit(self, due_time: float = -math.inf) -> None:
        """Admits every request that may leave, and sets a timer for the next one. A timer fires a hair early:
        `due_time` is the time that it was set for."""
        loop = asyncio.get_running_loop()
        now = max(loop.time(), due_time)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._in_flight < self._settings.max_in_flight and (waiting := self._waiting()):
            opens_time, _, _, endpoint, queue = min(
                (
                    max(now, self._total.opens_time, self._endpoints[endpoint].opens_time),
                    last,
                    number,
                    endpoint,
                    queue,
                )
                for last, number, endpoint, queue in waiting
            )
            if opens_time > now:
                self._timer = loop.call_at(opens_time, self._admit, opens_time)
                return
            queue.popleft()[1].set_result(None)
            self._total.take(now)
            self._endpoints[endpoint].take(now)
            self._admitted += 1
            self._in_flight += 1

    def _waiting(self) -> list[tuple[bool, int, str, WaitQueue]]:
        """The first request of each queue, to be admitted in the order of the first two values: whether the
        other kind has precedence, and its arrival."""
        share = self._settings.background_share
        background_first = self._admitted % share == share - 1
        waiting = []
        for (endpoint, background), queue in self._queues.items():
            while queue and queue[0][1].cancelled():
                queue.popleft()
            if queue:
                waiting.append((background != background_first, queue[0][0], endpoint, queue))
        return waiting
