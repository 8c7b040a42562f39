"""What a session has asked of Stripe so far, as running totals."""

from dataclasses import dataclass


@dataclass
class Traffic:
    """Totals of one session, since it was opened: they only grow. The difference between two readings is
    what happened in between."""

    requests: int = 0
    """Requests that Stripe has answered, refusals included. Each attempt counts."""
    refused_for_rate: int = 0
    """Answers that refuse a request for a rate limit: each 429 but a lock timeout, which is about one
    object."""
