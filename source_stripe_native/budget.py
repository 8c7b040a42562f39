"""How fast requests go out: so many a second in all and to each endpoint, and the incremental ones first.

Stripe counts the requests of any one second, so they leave evenly spaced, a little below the rate that is
allowed: what a late wake-up delayed goes out at once after it, and still no second has more than the rate
rounded up. A refusal for too many requests lowers the limit that it names, and the limit rises again while
there are no more. What may go is decided by numbers alone; only `Budget.acquire` waits.

The limits are one set for the process: other users of the same account are seen only by the refusals that
they cause.
"""

import asyncio
import itertools
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

PACE: Final = 0.96
"""The part of a limit's rate that is used."""
CATCH_UP: Final = 0.02
"""Seconds that a request may be late without the ones after it being so too. Of what PACE leaves of a second
this takes one half; the other is for what the network delays unevenly."""

CUT: Final = 0.8
"""What a refusal leaves of a limit's rate."""
CUT_EVERY: Final = 1.0
"""Seconds after a cut in which refusals are still about the rate before it."""
RISE: Final = 1.03
"""What a limit's rate grows by each second after a cut: as much at any rate, since what others leave of an
account's limit may be little."""
LONG: Final = 1000
"""Seconds after which any rate is back to what it was."""
SLOWEST: Final = 1.0
"""Requests a second that no refusal takes away."""

BACKGROUND_TURN: Final = 10
"""Of so many requests one may be in the background while others wait, so that it is slow but goes on."""
IN_FLIGHT: Final = 100
"""Requests that wait for their answers at most: more would queue where no priority counts."""

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
    """A number of requests a second, `ceiling` at most. Times are seconds of one clock."""

    ceiling: float
    opens: float = -math.inf
    """When the next request may go."""
    _low: float = math.inf
    _cut_at: float = -math.inf

    def rate(self, now: float) -> float:
        return min(self.ceiling, self._low * math.pow(RISE, min(now - self._cut_at, LONG)))

    def take(self, now: float) -> None:
        """Counts a request that goes `now`."""
        self.opens = max(self.opens, now - CATCH_UP) + 1 / (PACE * self.rate(now))

    def cut(self, now: float) -> None:
        """Heeds a refusal."""
        if now >= self._cut_at + CUT_EVERY:
            self._low = max(self.rate(now) * CUT, min(self.ceiling, SLOWEST))
            self._cut_at = now


Line = deque[tuple[int, asyncio.Future[None]]]
"""Who waits, each with the number of its arrival."""


class Budget:
    """Requests a second, in all and to each endpoint (see `endpoint_of`). Each request acquires its place,
    and releases it once it is answered."""

    def __init__(self, total: float, per_endpoint: float) -> None:
        self._total = Limit(total)
        self._per_endpoint = per_endpoint
        self._endpoints: dict[str, Limit] = {}
        self._lines: dict[tuple[str, bool], Line] = {}
        """By endpoint, and whether it is of those in the background."""
        self._arrivals = itertools.count()
        self._gone = 0
        self._in_flight = 0
        self._timer: asyncio.TimerHandle | None = None

    async def acquire(self, endpoint: str, *, background: bool = False) -> None:
        """Returns once the request may go: first come, first served, but what is in the background last."""
        self._limit(endpoint)
        going = asyncio.get_running_loop().create_future()
        self._lines.setdefault((endpoint, background), deque()).append((next(self._arrivals), going))
        self._let_go()
        try:
            await going
        except asyncio.CancelledError:
            if not going.cancelled():
                self.release()
            raise

    def release(self) -> None:
        """Says that a request was answered, or never will be."""
        self._in_flight -= 1
        self._let_go()

    def refused(self, endpoint: str, reason: str | None) -> None:
        """Heeds a 429. `reason` is its `Stripe-Rate-Limited-Reason`; without one it is about all requests.
        A reason that is neither about them nor about an endpoint is the one request's affair."""
        now = asyncio.get_running_loop().time()
        if (reason or "global").startswith("global"):
            self._total.cut(now)
        elif reason and reason.startswith("endpoint"):
            self._limit(endpoint).cut(now)

    def _limit(self, endpoint: str) -> Limit:
        return self._endpoints.setdefault(endpoint, Limit(self._per_endpoint))

    def _let_go(self, due: float = -math.inf) -> None:
        """Lets every request go that may, and comes back when the next one may. A timer fires a hair early:
        `due` is the time it is for."""
        loop = asyncio.get_running_loop()
        now = max(loop.time(), due)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._in_flight < IN_FLIGHT and (waiting := self._waiting()):
            opens, _, _, endpoint, line = min(
                (max(now, self._total.opens, self._endpoints[endpoint].opens), last, number, endpoint, line)
                for last, number, endpoint, line in waiting
            )
            if opens > now:
                self._timer = loop.call_at(opens, self._let_go, opens)
                return
            line.popleft()[1].set_result(None)
            self._total.take(now)
            self._endpoints[endpoint].take(now)
            self._gone += 1
            self._in_flight += 1

    def _waiting(self) -> list[tuple[bool, int, str, Line]]:
        """The first of each line, to be served in the order of the first two: whether the other kind has
        precedence, and its arrival."""
        favoured = self._gone % BACKGROUND_TURN == BACKGROUND_TURN - 1
        waiting = []
        for (endpoint, background), line in self._lines.items():
            while line and line[0][1].cancelled():
                line.popleft()
            if line:
                waiting.append((background != favoured, line[0][0], endpoint, line))
        return waiting
