"""Events: what the world tells about changes."""

from sandbox.stripe.filters import Filter, Given, Match, any_of, at, single, union, where
from sandbox.stripe.kind import Kind

RETENTION = 30 * 24 * 3600
"""Seconds that an event can be read for. Source: the description of GET /v1/events."""


def _type(param: str, given: Given) -> Match:
    return union([single(param, given)])


EVENT = Kind(
    "event",
    "evt",
    filters=(
        Filter("type", at("type"), _type, groups=True),
        any_of("types", "type", at_most=20, wild=True),
        where("delivery_success", "pending_webhooks", lambda asked, left: (left == 0) == asked, "boolean"),
    ),
)
