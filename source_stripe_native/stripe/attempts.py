"""One attempt of a request: what is asked, what came of it, and its line in the log.

Rule: each attempt is one line. It is at debug, and a warning where a request that is tried again has failed
more than once. A refusal for a rate limit is no warning: `Traffic` counts these. Where Stripe does not
answer, one warning a minute stands for all. A line that is not written costs no formatting.
"""

import logging
from dataclasses import dataclass
from logging import Logger

from source_stripe_native.stripe.retries import Outage, Request, is_no_answer, reason


@dataclass(slots=True)
class Attempt:
    """An attempt of a request, the `number`-th, which left at `asked_time`, a monotonic time in seconds."""

    request: Request
    number: int
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
        if not is_retried or self.number == 1 or self.refused_by is not None:
            return
        if not is_no_answer(error) or outage.is_told(now):
            self.level = logging.WARNING

    def write(self, log: Logger, limit: float, now: float) -> None:
        """Writes the line. `limit` is that of all requests a second."""
        if not log.isEnabledFor(self.level):
            return
        message = "request" if self.level == logging.DEBUG else "a request failed in a way that may pass"
        fields = {
            "method": "GET",
            "path": self.request.path,
            "account": self.request.account_id,
            "attempt": self.number,
            "status": self.status,
            "error": self.error,
            "ms": round((now - self.asked_time) * 1000),
            "request_id": self.request_id,
            "limit": limit,
        }
        # What does not apply is left out: a line for each request is long enough.
        log.log(self.level, message, {name: each for name, each in fields.items() if each not in (None, "")})
