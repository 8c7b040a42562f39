"""The connector as a process of its own, with its request budget opened: what is measured is the connector,
not how long it waits for Stripe's limits. Arguments are requests a second in all and per endpoint."""

import sys

from source_stripe_native import http
from source_stripe_native.__main__ import main

total, per_endpoint = (int(each) for each in sys.argv[1:3])
http.REQUESTS_LIVE = http.REQUESTS_TEST = total  # type: ignore[misc]  # Final for everybody else
http.REQUESTS_PER_ENDPOINT = per_endpoint  # type: ignore[misc]  # likewise
main()
