"""Retries: which failures of a request may pass, and since when Stripe has failed to answer anybody.

Rule: what is retried is what Stripe's own clients retry: what `Stripe-Should-Retry` says, else 409, 429, 5xx
and a broken connection, and 408, 424 and 425, which pass too. All requests share the patience of one outage,
so that a request that is made late in an outage does not wait for as long again. Pure: times are arguments,
in seconds of one monotonic clock.
"""

import math
from datetime import timedelta
from typing import Final

import aiohttp

from source_stripe_native.errors import StripeError, excerpt

MAX_RETRY_AFTER: Final = 60.0
"""Seconds of `Retry-After` that are honoured. A server that asks for more is asked again sooner."""

PASSING: Final = frozenset({408, 409, 424, 425, 429})
"""Statuses below 500 with which a request fails only for now."""


class Outage:
    """A time in which Stripe answers nobody. `longest_gap` is how long after a failure an attempt may leave
    to belong to the same outage, `warning_gap` the least time between two warnings."""

    def __init__(self, longest_gap: float, warning_gap: float) -> None:
        self._longest_gap = longest_gap
        self._warning_gap = warning_gap
        self._next_warning_time = -math.inf
        self._start_time = math.inf
        self._last_time = -math.inf

    def failed(self, asked_time: float, now: float) -> None:
        """An attempt that left at `asked_time` has failed `now` without an answer."""
        if asked_time - self._last_time > self._longest_gap:
            self._start_time = asked_time
        self._last_time = now

    def answered(self) -> None:
        """Stripe has answered a request, be it with a refusal."""
        self._last_time = -math.inf
        self._start_time = math.inf

    def duration(self, now: float) -> float:
        """Seconds since the first attempt of the outage left, zero where there is none."""
        return max(0.0, now - self._start_time)

    def is_told(self, now: float) -> bool:
        """Whether to warn `now`. All that fail would warn alike, so one of them does for a while."""
        if now < self._next_warning_time:
            return False
        self._next_warning_time = now + self._warning_gap
        return True


def should_retry(status: int, header: str | None) -> bool:
    """Whether an answer other than a success may pass. `header` is its `Stripe-Should-Retry`."""
    if header in ("true", "false"):
        return header == "true"
    # A 200 that came here has a body that is none of Stripe's: something stands in between.
    return status == 200 or status in PASSING or status >= 500


def retry_after(header: str | None, patience: timedelta) -> float | None:
    """The seconds to wait by a `Retry-After` header, None where it names none."""
    if header is None or not header.isdecimal():
        return None
    return min(float(header), MAX_RETRY_AFTER, patience.total_seconds())


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
    return isinstance(error, aiohttp.ClientError | TimeoutError | OSError)


def reason(error: Exception) -> str:
    """Why an attempt failed, in the words of Stripe or of the system."""
    if isinstance(error, StripeError):
        return f"{error.status} {error.stripe_message}"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
        if error.errno is None:  # a name that no server of names knows
            return excerpt(error.strerror or str(error))
    return excerpt(str(error) or type(error).__name__)
