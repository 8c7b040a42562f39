"""The connector as a process of its own, with its rate limits lifted: what is measured is the connector,
not how long it waits for Stripe's limits."""

from typing import Final

from source_stripe_native.__main__ import main
from source_stripe_native.settings import Settings

OPEN: Final = 1_000_000
"""Requests a second that stand for no limit."""

main(Settings(requests_live=OPEN, requests_test=OPEN, requests_per_endpoint=OPEN))
