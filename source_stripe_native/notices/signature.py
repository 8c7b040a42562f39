"""The signature of a post ("Verify webhook signatures manually"). Pure.

    Stripe-Signature: t=1492774577,v1=5257a869e7...,v1=...,v0=...

A signature `v1` is the HMAC-SHA256 of `t`, a dot and the body, with an endpoint's signing secret as the key.
While a secret is rolled, Stripe sends one signature for each secret. Other schemes are ignored."""

import hmac
import re
from collections.abc import Iterable
from typing import Final

HEADER: Final = "Stripe-Signature"
TOLERANCE: Final = 300
"""Seconds by which the time of a post may differ from Stripe's clock."""
MOST_SIGNATURES: Final = 10
"""Signatures of one post that are looked at. Stripe sends one for each secret that is valid."""
_TIME: Final = re.compile(r"[0-9]{1,15}", re.ASCII)


def signature_of(secret: str, time: int, body: bytes) -> str:
    """The signature of a body that is posted at `time` (Unix seconds)."""
    return hmac.new(secret.encode(), b"%d." % time + body, "sha256").hexdigest()


def parse_header(header: str) -> tuple[int, list[str]] | None:
    """The time and the `v1` signatures of a header, None where it has not both."""
    parts = [
        (name.strip(), value.strip()) for name, _, value in (p.partition("=") for p in header.split(","))
    ]
    times = [value for name, value in parts if name == "t"]
    signatures = [value for name, value in parts if name == "v1" and value.isascii()]
    if len(times) != 1 or not _TIME.fullmatch(times[0]) or not signatures:
        return None
    return int(times[0]), signatures[:MOST_SIGNATURES]


def is_in_time(time: int, now: float) -> bool:
    """Whether a post of `time` is no replay, at `now` by Stripe's clock."""
    return abs(now - time) <= TOLERANCE


def is_signed(secrets: Iterable[str], time: int, signatures: Iterable[str], body: bytes) -> bool:
    """Whether one of `signatures` was made with one of `secrets`. Every pair is compared, each in constant
    time."""
    expected = [signature_of(secret, time, body) for secret in secrets]
    return True in {hmac.compare_digest(one, given) for one in expected for given in signatures}
