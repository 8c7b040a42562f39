"""Events: what the world tells about changes."""

from sandbox.stripe.filters import Filter, Given, Match, any_of, at, boolean, single, union
from sandbox.stripe.kind import Kind

RETENTION = 30 * 24 * 3600
"""Seconds that an event can be read for. Source: the description of GET /v1/events."""


def _type(param: str, given: Given) -> Match:
    return union([single(param, given)])


def _delivered(param: str, given: Given) -> Match:
    wanted = boolean(param, single(param, given, "boolean"))
    return Match(lambda pending: (pending == 0) == wanted)


EVENT = Kind(
    "event",
    "evt",
    filters=(
        Filter("type", at("type"), _type, groups=True),
        any_of("types", "type", at_most=20, wild=True),
        Filter("delivery_success", at("pending_webhooks"), _delivered),
    ),
)
