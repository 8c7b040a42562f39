"""Attempts of a request: which failures may pass, for how long the request is asked again, what is logged.

Rule: asked again is what Stripe's own clients ask again: what `Stripe-Should-Retry` says, else 409, 429 and a
broken connection, and 408, 424 and 425, which pass too. Reading changes nothing, so that a 5xx is asked again
whatever the header says. A refusal for rate is known by its code too, as older API versions have another
status for it. Each attempt is one line at debug, and a warning where a request that is tried again has failed
more than once. A refusal for rate is no warning: `Traffic` counts these.

Pure: times are seconds of one monotonic clock.
"""

import logging
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from logging import Logger
from typing import Final
from urllib.parse import urlencode

import aiohttp

from source_stripe_native.errors import StripeError, UnreachableError, excerpt, scrub
from source_stripe_native.stripe.rate_limit import Priority, Urgency
from source_stripe_native.stripe.wire import Params

NETWORK: Final = (aiohttp.ClientError, OSError)
"""Errors of the way to Stripe, a time-out included."""
MAX_RETRY_AFTER: Final = 60.0
"""Seconds of `Retry-After` that are honoured. A server that asks for more is asked again sooner."""
LONGEST_BACKOFF: Final = 30.0
"""Seconds between two attempts at most, where the server names none."""
PASSING: Final = frozenset({408, 409, 424, 425, 429})
"""Statuses below 500 with which a request fails only for now."""


@dataclass
class Traffic:
    """Totals of one session since it was opened: they only grow."""

    requests: int = 0
    """Requests that Stripe has answered, refusals included. Each attempt counts."""
    refused_for_rate: int = 0
    """Answers that refuse a request for a rate limit: all of them but lock timeouts, which are about one
    object."""


@dataclass(eq=False, slots=True)
class Request:
    """A GET request for `path` ("/v1/..."), made for a connected account, or for the key's own (None), until
    it is answered or given up. Where it `is_divisible`, it is hardly asked again, since its caller asks for
    less. It is made `most_attempts` times at most where its caller asks again later. `count` is called with
    the bytes of the answer."""

    path: str
    account_id: str | None
    params: Params = ()
    priority: Priority | Urgency = Priority.CHANGES
    count: Callable[[int], None] = lambda _: None
    is_divisible: bool = False
    most_attempts: float = math.inf
    number: int = 1
    """Of the attempt, without those that were refused for rate."""
    start_time: float = math.inf
    """When it first left."""
    deadline: float = math.inf
    """Until when it is asked again while others are answered."""
    key_deadline: float = math.inf
    """The same while Stripe refuses a key that it has accepted before."""
    refused_time: float = math.inf
    """When Stripe first refused it for rate."""

    def __str__(self) -> str:
        return f"GET {self.path}" + (f" for account {self.account_id}" if self.account_id else "")

    def left(self, queued_time: float, now: float, patience: float) -> None:
        """The request leaves `now`, after it waited for the rate limiter: that time does not count for the
        `patience`."""
        self.start_time = min(self.start_time, now)
        self.deadline = min(self.deadline + now - queued_time, now + patience)


class Outage:
    """A time in which Stripe answers nobody. `longest_gap` is how long after a failure an attempt may leave
    to belong to the same outage, `warning_gap` the least time between two warnings."""

    def __init__(self, longest_gap: float, warning_gap: float) -> None:
        self._longest_gap = longest_gap
        self._warning_gap = warning_gap
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

    def is_reported(self, now: float) -> bool:
        """Whether to warn `now`. All that fail would warn alike, so one of them does for a while."""
        if now < self._next_warning_time:
            return False
        self._next_warning_time = now + self._warning_gap
        return True


@dataclass(slots=True)
class Attempt:
    """An attempt of a request, which left at `asked_time`."""

    request: Request
    asked_time: float
    status: int | None = None
    """The HTTP status, None while there is no answer."""
    request_id: str = ""
    """As Stripe's logs name it; empty where there is no answer."""
    refused_by: str | None = None
    """The reason that Stripe gives for a refusal for rate; None where the attempt met none."""
    error: str = "cancelled"
    """Why there is no result, empty where there is one."""
    level: int = logging.DEBUG

    def failed(self, error: Exception, outage: Outage, now: float, *, is_retried: bool) -> None:
        self.error = reason(error)
        if not is_retried or self.request.number == 1 or self.refused_by is not None:
            return
        if not is_no_answer(error) or outage.is_reported(now):
            self.level = logging.WARNING

    def write(self, log: Logger, limit: float, now: float) -> None:
        """Writes the line. `limit` is that of all requests a second."""
        if not log.isEnabledFor(self.level):
            return
        message = "request" if self.level == logging.DEBUG else "a request failed in a way that may pass"
        fields = {
            "method": "GET",
            "path": self.request.path,
            "query": scrub(urlencode(self.request.params, safe="[],:/")),
            "account": self.request.account_id,
            "attempt": self.request.number,
            "status": self.status,
            "error": self.error,
            "ms": round((now - self.asked_time) * 1000),
            "request_id": self.request_id,
            "limit": limit,
        }
        # What does not apply is left out: a line for each request is long enough.
        log.log(
            self.level, message, {name: value for name, value in fields.items() if value not in (None, "")}
        )


def should_retry(status: int, code: str, headers: Mapping[str, str]) -> bool:
    """Whether an answer other than a success may pass. `code` is Stripe's, empty where it has none."""
    # A 200 that came here has a body that is none of Stripe's: something stands in between.
    if status == 200 or status >= 500:
        return True
    header = headers.get("Stripe-Should-Retry")
    return header == "true" if header in ("true", "false") else status in PASSING or code == "rate_limit"


def retry_after(headers: Mapping[str, str], patience: float) -> float | None:
    """The seconds to wait by a `Retry-After` header, None where it names none."""
    header = headers.get("Retry-After", "")
    return min(float(header), MAX_RETRY_AFTER, patience) if header.isdecimal() else None


def backoff(number: int) -> float:
    """The seconds to wait after the `number`-th attempt."""
    return min(LONGEST_BACKOFF, 0.5 * 2.0 ** min(number - 1, 30) + random.random())


def is_no_answer(error: Exception) -> bool:
    """Whether Stripe has not answered, or something else has in its place."""
    if isinstance(error, StripeError):
        return error.status == 200 or error.status >= 500
    return isinstance(error, (*NETWORK, UnreachableError))


def reason(error: Exception) -> str:
    """Why an attempt failed, in the words of Stripe or of the system."""
    if isinstance(error, StripeError):
        return f"{error.status} {error.stripe_message}"
    if isinstance(error, aiohttp.ClientConnectorError):
        error = error.os_error
        if error.errno is None:  # a name that no server of names knows
            return excerpt(error.strerror or str(error))
    return excerpt(str(error) or type(error).__name__)
