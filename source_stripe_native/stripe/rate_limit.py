"""Rate limits: requests a second in all, and of each account to each endpoint; events before other requests.

Rule: no second has more requests than the limit, and requests are evenly spaced a little below it. A request
that a late wake-up delayed leaves at once afterwards, and still no second has more than the limit rounded up.
A 429 reduces the limit that it names; the limit then recovers by a few per cent a second. Requests leave by
their priority. Each lower priority keeps one request in ten while those of a higher one wait.

Limits: they are those of one process. Stripe limits an endpoint for each account that is acted for, so that
many accounts share the limit of all requests alone. Other users of the same Stripe account are seen only by
the 429s that they cause. The decisions are pure functions of numbers; only `RateLimiter.acquire` waits.
"""

import asyncio
import itertools
import math
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
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

    def is_in_use(self, now: float) -> bool:
        """Whether another limit of the same ceiling would not do as well."""
        return self.opens_time > now - self.settings.max_lateness or self.rate(now) < self.ceiling

    def reduce(self, now: float) -> None:
        """Lowers the rate after a 429."""
        if now >= self._reduced_time + self.settings.reduction_interval:
            floor = min(self.ceiling, self.settings.min_rate)
            self._reduced = max(self.rate(now) * self.settings.reduction, floor)
            self._reduced_time = now


class Priority(IntEnum):
    """The lower value goes first."""

    EVENTS = 0
    """The event readings that all bindings of an account wait for."""
    CHANGES = 1
    """Everything else that follows changes: polled lists, objects that are read again, and events that only
    one binding lacks."""
    BACKFILL = 2


WaitQueue = deque[tuple[int, asyncio.Future[None], Limit]]
"""Requests that wait, each with the number of its arrival and the limit of the account that it acts for."""


def favoured_priority(admitted: int, least_share: int) -> Priority:
    """The priority that goes first after so many `admitted` requests: the highest but for the last turns of
    every `least_share`, one for each lower priority."""
    left = least_share - 1 - admitted % least_share
    return Priority(max(Priority.EVENTS, Priority.BACKFILL - left))


class RateLimiter:
    """Requests a second: in all, and of each account to each endpoint (see `endpoint_of`). Each request
    acquires its place, and releases it once it is answered.

    Stripe counts by the account that a request acts for. An endpoint's requests for all accounts together
    have the limit of all requests, until a 429 about the endpoint reduces it."""

    def __init__(self, total: float, per_endpoint: float, settings: Settings = DEFAULTS) -> None:
        self._settings = settings
        self._total = Limit(total, settings)
        self._per_endpoint = per_endpoint
        self._endpoints: dict[str, Limit] = {}
        """Of all accounts together."""
        self._own: dict[tuple[str | None, str], Limit] = {}
        """Of single accounts, by account and endpoint."""
        self._queues: dict[tuple[str, Priority], WaitQueue] = {}
        """By endpoint and priority."""
        self._arrivals = itertools.count()
        self._admitted = 0
        self._in_flight = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def ceiling(self) -> float:
        """Requests a second in all while no 429 has reduced them."""
        return self._total.ceiling

    async def acquire(
        self, endpoint: str, priority: Priority = Priority.CHANGES, account_id: str | None = None
    ) -> None:
        """Returns once the request may leave: by priority, and among equals first come, first served, as far
        as the limit of the account that it acts for allows."""
        self._endpoint(endpoint)
        admitted = asyncio.get_running_loop().create_future()
        waiting = next(self._arrivals), admitted, self._own_limit(account_id, endpoint)
        self._queues.setdefault((endpoint, priority), deque()).append(waiting)
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

    def refused(self, endpoint: str, reason: str | None, account_id: str | None = None) -> None:
        """Reduces the limits that a 429 is about. `reason` is its `Stripe-Rate-Limited-Reason`; without one
        the 429 is about all requests. Any other reason concerns that one request alone."""
        now = asyncio.get_running_loop().time()
        if (reason or "global").startswith("global"):
            self._total.reduce(now)
        elif reason and reason.startswith("endpoint"):
            self._endpoint(endpoint).reduce(now)
            self._own_limit(account_id, endpoint).reduce(now)

    def _endpoint(self, endpoint: str) -> Limit:
        if endpoint not in self._endpoints:
            self._endpoints[endpoint] = Limit(max(self._total.ceiling, self._per_endpoint), self._settings)
        return self._endpoints[endpoint]

    def _own_limit(self, account_id: str | None, endpoint: str) -> Limit:
        key = account_id, endpoint
        if key not in self._own:
            if len(self._own) >= self._settings.limits_kept:
                now = asyncio.get_running_loop().time()
                self._own = {key: limit for key, limit in self._own.items() if limit.is_in_use(now)}
            self._own[key] = Limit(self._per_endpoint, self._settings)
        return self._own[key]

    def _admit(self, due_time: float = -math.inf) -> None:
        """Admits every request that may leave, and sets a timer for the next one. A timer fires a hair early:
        `due_time` is the time that it was set for."""
        loop = asyncio.get_running_loop()
        now = max(loop.time(), due_time)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._in_flight < self._settings.max_in_flight and (waiting := self._waiting(now)):
            opens_time, _, _, endpoint, place, queue = min(waiting, key=lambda each: each[:3])
            if opens_time > now:
                self._timer = loop.call_at(opens_time, self._admit, opens_time)
                return
            _, admitted, own = queue[place]
            del queue[place]
            admitted.set_result(None)
            for limit in (self._total, self._endpoints[endpoint], own):
                limit.take(now)
            self._admitted += 1
            self._in_flight += 1

    def _waiting(self, now: float) -> list[tuple[float, int, int, str, int, WaitQueue]]:
        """The next request of each queue, to be admitted in the order of the first three values: when it may
        leave, the rank of its priority, and its arrival. With its endpoint, and its place in the queue."""
        favoured = favoured_priority(self._admitted, self._settings.least_share)
        waiting = []
        for (endpoint, priority), queue in self._queues.items():
            while queue and queue[0][1].cancelled():
                queue.popleft()
            if queue:
                opens_time = max(now, self._total.opens_time, self._endpoints[endpoint].opens_time)
                place = _first_to_leave(queue, opens_time)
                number, _, own = queue[place]
                rank = -1 if priority is favoured else int(priority)
                waiting.append((max(opens_time, own.opens_time), rank, number, endpoint, place, queue))
        return waiting


def _first_to_leave(queue: WaitQueue, now: float) -> int:
    """The place of the first request whose account may send it `now`, else of the first one to be allowed."""
    best, best_time = 0, math.inf
    for place, (_, admitted, own) in enumerate(queue):
        if not admitted.cancelled() and own.opens_time < best_time:
            best, best_time = place, own.opens_time
            if best_time <= now:
                break
    return best
