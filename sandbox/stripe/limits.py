"""Stripe's request limits: so many in any second, for an account in all and for each of its endpoints.

An endpoint is a method and the shape of a path: ids share it. Source: Stripe's page "Rate limits".
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

Reason = Literal["global-rate", "endpoint-rate"]


@dataclass
class RateLimit:
    """Requests per second. Live accounts have 100 in all, sandboxes 25; an endpoint has 25."""

    total: int = 100
    endpoint: int = 25
    _times: dict[tuple[str, str], deque[float]] = field(default_factory=dict, repr=False)

    def refuse(self, account: str, endpoint: str, now: float) -> Reason | None:
        """Why the request is one too many at `now` (seconds of any clock), or None; then it counts."""
        whole = self._second((account, ""), now)
        part = self._second((account, endpoint), now)
        if len(whole) >= self.total:
            return "global-rate"
        if len(part) >= self.endpoint:
            return "endpoint-rate"
        whole.append(now)
        part.append(now)
        return None

    def _second(self, key: tuple[str, str], now: float) -> deque[float]:
        times = self._times.setdefault(key, deque())
        while times and times[0] <= now - 1:
            times.popleft()
        return times
