"""Retries: which failures of a request may pass, how long it is asked again, and since when Stripe has failed
to answer anybody.

Rule: asked again is what Stripe's own clients ask again: what `Stripe-Should-Retry` says, else 409, 429 and a
broken connection, and 408, 424 and 425, which pass too. Reading changes nothing, so that a 5xx is asked again
whatever the header says. Pure: times are arguments, in seconds of one monotonic clock.
"""

import math
from dataclasses import dataclass
from typing import Final

import aiohttp

from source_stripe_native.errors import StripeError, UnreachableError, excerpt

MAX_RETRY_AFTER: Final = 60.0
"""Seconds of `Retry-After` that are honoured. A server that asks for more is asked again sooner."""

PASSING: Final = frozenset({408, 409, 424, 425, 429})
"""Statuses below 500 with which a request fails only for now."""


@dataclass(frozen=True, slots=True)
class Request:
    """A GET request for `path` ("/v1/..."), made for a connected account, or for the key's own (None)."""

    path: str
    account_id: str | None

    def __str__(self) -> str:
        return f"GET {self.path}" + (f" for account {self.account_id}" if self.account_id else "")


@dataclass(slots=True)
class Asking:
    """A request until it is answered or given up. It is asked for `patience` seconds. One that
    `is_divisible` is hardly asked again, since its caller asks for less."""

    request: Request
    patience: float
    is_divisible: bool = False
    start_time: float = math.inf
    """When it first left."""
    deadline: float = math.inf
    """Until when it is asked again while others are answered."""
    key_deadline: float = math.inf
    """The same while Stripe refuses a key that it has accepted before."""
    verdict: bool | float = False
    """Whether the last failure may pass, or the seconds to wait after it."""
    _refused_time: float = math.inf

    def left(self, queued_time: float, now: float) -> None:
        """The request leaves `now`, after it waited for the rate limiter: that time does not count."""
        self.start_time = min(self.start_time, now)
        self.deadline = min(self.deadline + now - queued_time, now + self.patience)

    def refused(self, now: float) -> float:
        """When Stripe first refused the request for rate."""
        self._refused_time = min(self._refused_time, now)
        return self._refused_time


class Outage:
    """A time in which Stripe answers nobody. `longest_gap` is how long after a failure an attempt may leave
    to belong to the same outage, `warning_gap` the least time between two warnings. After `patience` the
    capture ends."""

    def __init__(self, longest_gap: float, warning_gap: float, patience: float = math.inf) -> None:
        self._longest_gap = longest_gap
        self._warning_gap = warning_gap
        self._patience = patience
        self.answered_time = -math.inf
        """When Stripe last answered a request."""
        self._next_warning_time = -math.inf
        self._start_time = math.inf
        self._last_time = -math.inf

    def failed(self, asked_time: float, now: float) -> None:
        """An attempt that left at `asked_time` has failed `now` without an answer."""
        if asked_time - self._last_time > self._longest_gap:
            self._start_time = asked_time
        self._last_time = now

    def answered(self, now: float) -> None:
        """Stripe has answered a request, be it with a refusal."""
        self.answered_time = now
        self._last_time = -math.inf
        self._start_time = math.inf

    def duration(self, now: float) -> float:
        """Seconds since the first attempt of the outage left, zero where there is none."""
        return max(0.0, now - self._start_time)

    def is_everybodys(self, now: float) -> bool:
        """Whether nobody has been answered for as long as there is patience."""
        return self.duration(now) >= self._patience

    def is_told(self, now: float) -> bool:
        """Whether to warn `now`. All that fail would warn alike, so one of them does for a while."""
        if now < self._next_warning_time:
            return False
        self._next_warning_time = now + self._warning_gap
        return True


def should_retry(status: int, header: str | None) -> bool:
    """Whether an answer other than a success may pass. `header` is its `Stripe-Should-Retry`."""
    # A 200 that came here has a body that is none of Stripe's: something stands in between.
    if status == 200 or status >= 500:
        return True
    return header == "true" if header in ("true", "false") else status in PASSING


def retry_after(header: str | None, patience: float) -> float | None:
    """The seconds to wait by a `Retry-After` header, None where it names none."""
    if header is None or not header.isdecimal():
        return None
    return min(float(header), MAX_RETRY_AFTER, patience)


def worth_retrying(error: Exception) -> bool | float:
    """Whether to try again, or the seconds to wait before it where Stripe names them."""
    if isinstance(error, StripeError):
        return (error.retry_after or True) if error.should_retry else False
    return isinstance(error, aiohttp.ClientError | TimeoutError | OSError)


def is_for_rate(error: Exception) -> bool:
    """Whether Stripe refuses a request for a rate limit. A lock timeout is a 429 too, but is about one
    object."""
    return isinstance(error, StripeError) and error.status == 429 and error.code != "lock_timeout"


def is_no_answer(error: Exception) -> bool:
    """Whether Stripe has not answered, or something else has in its place."""
    if isinstance(error, StripeError):
        return error.status == 200 or error.status >= 500
    return isinstance(error, aiohttp.ClientError | TimeoutError | OSError | UnreachableError)


def reason(error: Exception) -> str:
    """Why an attempt failed, in the words of Stripe or of the system."""
    if isinstance(error, StripeError):
        return f"{error.status} {error.stripe_message}"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
        if error.errno is None:  # a name that no server of names knows
            return excerpt(error.strerror or str(error))
    return excerpt(str(error) or type(error).__name__)
