"""The connector as a process of its own, with its request budget lifted: what is measured is the connector,
not how long it waits for Stripe's limits."""

from typing import Final

from source_stripe_native import http
from source_stripe_native.__main__ import main

OPEN: Final = 1_000_000
"""Requests a second that stand for no limit."""

http.REQUESTS_LIVE = http.REQUESTS_TEST = OPEN  # type: ignore[misc]  # Final for everybody else
http.REQUESTS_PER_ENDPOINT = OPEN  # type: ignore[misc]  # likewise
main()
