"""Rate limits: requests a second in all, and of each account to each endpoint; events before other requests.

Rule: no second has more requests than the limit, and requests are evenly spaced a little below it. A request
that a late wake-up delayed leaves at once afterwards, and still no second has more than the limit rounded up.
The limit that a refusal for rate names learns from it (see `rate_control`), and the request queues again.
Requests leave by their priority. Each lower priority keeps one request in ten while those of a higher one
wait.

Limits: they are those of one process. Other users of the same Stripe account are seen only by the 429s that
they cause.
"""

import asyncio
import bisect
import contextlib
import functools
import itertools
import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from operator import attrgetter
from typing import Final

from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.stripe.rate_control import Limit as Limit

MOST_PER_ENDPOINT: Final = 25
"""Requests a second that Stripe allows to one endpoint ("Rate limits")."""
GOLDEN_RATIO: Final = (math.sqrt(5) - 1) / 2
"""Its multiples, less whole numbers, are evenly spread however many there are. So is every second of them, or
every third."""
LIMITS: Final = ("", "global", "endpoint")
"""How a `Stripe-Rate-Limited-Reason` begins that is about a limit. Without a reason it is that of all."""


class Priority(IntEnum):
    """The lower value goes first."""

    EVENTS = 0
    """The event readings that all bindings of an account wait for."""
    CHANGES = 1
    """Everything else that follows changes: polled lists, objects that are read again, and events that only
    one binding lacks."""
    BACKFILL = 2


class Urgency:
    """The priority of a reading, which others that come to wait for it can raise. Made by whoever starts the
    reading, and passed to all its requests."""

    def __init__(self, priority: Priority) -> None:
        self.priority = priority
        self._borrowers: dict[object, Callable[[Priority], None]] = {}

    @classmethod
    def of(cls, priority: "Priority | Urgency") -> "Urgency":
        return priority if isinstance(priority, Urgency) else cls(priority)

    def raise_to(self, priority: Priority) -> None:
        """Raises the priority, also of what waits in a limiter or for another reading. Never lowers it."""
        if priority < self.priority:
            self.priority = priority
            for borrow in [*self._borrowers.values()]:
                borrow(priority)

    @contextlib.contextmanager
    def lent_to(self, borrow: Callable[[Priority], None]) -> Iterator[None]:
        """While the context is open, `borrow` gets the priority: at once, and whenever that is raised. Who
        waits for a reading lends it its own: `with mine.lent_to(readers.raise_to): ...`."""
        token = object()
        self._borrowers[token] = borrow
        try:
            borrow(self.priority)
            yield
        finally:
            del self._borrowers[token]


@dataclass(eq=False, slots=True)
class Turn:
    """The turn of a request, the `number`-th to ask for one. `own` is the limit of the account that it acts
    for."""

    number: int
    endpoint: str
    own: Limit
    admitted: asyncio.Future[None]
    priority: Priority | None = None
    """None before it is in a queue."""
    asked_time: float = math.inf
    """When the request left."""


def favoured_priority(admitted: int, least_share: int) -> Priority:
    """The priority that goes first after so many `admitted` requests: each lower one for one request in
    `least_share`. These are spread by the golden ratio. Endpoints have their turns one after another, so that
    every tenth request might always be the same endpoint's."""
    place = admitted * GOLDEN_RATIO % 1 * least_share
    return Priority(max(Priority.EVENTS, Priority.BACKFILL - int(place)))


class RateLimiter:
    """Requests a second: in all, and of each account to each endpoint (see `streams.paths`). Each request
    acquires its place, and releases it once it is answered.

    Stripe counts by the account that a request acts for. An endpoint's requests for all accounts together
    have the limit of all requests, until a 429 about the endpoint reduces it."""

    def __init__(self, total: float, per_endpoint: float, settings: Settings = DEFAULTS) -> None:
        self._settings = settings
        self.ceiling = total
        """Requests a second in all while no 429 has reduced them."""
        self._total = Limit(total, settings)
        self._per_endpoint = per_endpoint
        self._endpoints: dict[str, Limit] = {}
        """Of all accounts together."""
        self._own: dict[tuple[str | None, str], Limit] = {}
        """Of single accounts, by account and endpoint."""
        self._queues: dict[tuple[str, Priority], deque[Turn]] = {}
        """By endpoint and priority, in the order of arrival."""
        self._arrivals = itertools.count()
        self._admitted = 0
        self._in_flight = Counter[str]()
        """Requests that wait for their answer, by endpoint."""
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(
        self, endpoint: str, priority: Priority | Urgency = Priority.CHANGES, account_id: str | None = None
    ) -> Turn:
        """Returns once the request may leave: by priority, and among equals first come, first served, as far
        as the limit of the account that it acts for allows. An urgency that is raised meanwhile moves the
        request forward."""
        if endpoint not in self._endpoints:
            self._endpoints[endpoint] = Limit(max(self.ceiling, self._per_endpoint), self._settings)
        admitted = asyncio.get_running_loop().create_future()
        turn = Turn(next(self._arrivals), endpoint, self._own_limit(account_id, endpoint), admitted)
        with Urgency.of(priority).lent_to(functools.partial(self._queue, turn)):
            try:
                await admitted
            except asyncio.CancelledError:
                if not admitted.cancelled():
                    self.release(turn)
                raise
        return turn

    def _queue(self, turn: Turn, priority: Priority) -> None:
        """Puts a request into the queue of its priority, out of that of a lower one."""
        if turn.admitted.done():
            return
        if turn.priority is not None:
            self._queues[turn.endpoint, turn.priority].remove(turn)
        turn.priority = priority
        queue = self._queues.setdefault((turn.endpoint, priority), deque())
        bisect.insort(queue, turn, key=attrgetter("number"))
        self._admit()

    def release(self, turn: Turn) -> None:
        """Says that a request was answered, or never will be."""
        self._in_flight[turn.endpoint] -= 1
        self._admit()

    def answered(self, turn: Turn, refused_by: str | None = None) -> None:
        """Counts an answer for the limits. `refused_by` is the `Stripe-Rate-Limited-Reason` of a refusal for
        rate, empty where it gives none: then it is about all requests."""
        now = asyncio.get_running_loop().time()
        is_refusal, reason = refused_by is not None, refused_by or "global"
        of_endpoint = self._endpoints[turn.endpoint]
        for limit, name in (self._total, "global"), (of_endpoint, "endpoint"), (turn.own, "endpoint"):
            is_about = is_refusal and reason.startswith(name)
            limit.answered(turn.asked_time, now, is_refusal=is_refusal, is_about=is_about)

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
        while first := self._first(now):
            opens_time, queue, turn = first
            if opens_time > now:
                self._timer = loop.call_at(opens_time, self._admit, opens_time)
                return
            queue.remove(turn)
            turn.admitted.set_result(None)
            turn.asked_time = now
            for limit in (self._total, self._endpoints[turn.endpoint], turn.own):
                limit.take(now)
            self._admitted += 1
            self._in_flight[turn.endpoint] += 1

    def _first(self, now: float) -> tuple[float, deque[Turn], Turn] | None:
        """The request that leaves next, with the time at which it may and its queue: of the next one of each
        queue the first by that time, the rank of its priority, and its arrival. None where none waits, or
        where what is in flight leaves no place. An endpoint that does not answer leaves places to others."""
        free = self._settings.max_in_flight - self._in_flight.total()
        most_of_one = free * self._settings.endpoint_surplus
        favoured = favoured_priority(self._admitted, self._settings.least_share)
        first, first_rank = None, (math.inf, 0, 0)
        for (endpoint, priority), queue in self._queues.items():
            while queue and queue[0].admitted.cancelled():
                queue.popleft()
            if queue and self._in_flight[endpoint] < most_of_one:
                opens_time = max(now, self._total.opens_time, self._endpoints[endpoint].opens_time)
                turn = _first_to_leave(queue, opens_time)
                opens_time = max(opens_time, turn.own.opens_time)
                rank = opens_time, -1 if priority is favoured else int(priority), turn.number
                if rank < first_rank:
                    first, first_rank = (opens_time, queue, turn), rank
        return first


def _first_to_leave(queue: deque[Turn], now: float) -> Turn:
    """The first request whose account may send it `now`, else the first one to be allowed."""
    ready = (turn for turn in queue if turn.own.opens_time <= now and not turn.admitted.cancelled())
    return next(ready, None) or min(queue, key=lambda turn: (turn.admitted.cancelled(), turn.own.opens_time))


def rate_limiter_for(
    key: str, total: float | None = None, settings: Settings = DEFAULTS, share: float = 1.0
) -> RateLimiter:
    """The rate limits of a key, where the config allows `total` requests a second or leaves that open: the
    `share` of them that one of several processes with the key has, but `Settings.min_rate` at the least."""
    if total is None:
        total = settings.requests_live if "_live_" in key else settings.requests_test
        per_endpoint = settings.requests_per_endpoint
    else:
        per_endpoint = min(total, MOST_PER_ENDPOINT)
    shared, shared_per_endpoint = (
        max(each * share, min(each, settings.min_rate)) for each in (total, per_endpoint)
    )
    return RateLimiter(shared, shared_per_endpoint, settings)
