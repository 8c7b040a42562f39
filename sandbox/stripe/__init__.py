"""A stateful local Stripe: a world of objects and events under its own clock, served over HTTP.

    world = World(now=1_700_000_000)
    async with StripeServer(world) as server:
        price = world.create("price", unit_amount=500)
        world.archive("price", price["id"])
        ...

Layers, imports downward only: cli -> server (HTTP, delays, faults, limits, journal) -> routes (keys,
accounts, parameters, errors) -> paths (what a path is about) -> rules (what a write does) -> expand (what
`expand` shows) -> world (objects, events) -> lists (filter and page) -> table -> kinds (one row per
resource). `demo` and `shop` make worlds, for the cli."""

from sandbox.stripe.demo import seeded
from sandbox.stripe.expand import expanded
from sandbox.stripe.faults import Fault, Faults
from sandbox.stripe.journal import Journal, Visit
from sandbox.stripe.keys import DEFAULT_KEY
from sandbox.stripe.kind import ABSENT
from sandbox.stripe.limits import RateLimit
from sandbox.stripe.server import StripeServer
from sandbox.stripe.shop import Shop
from sandbox.stripe.world import PLATFORM, World

__all__ = [
    "ABSENT",
    "DEFAULT_KEY",
    "PLATFORM",
    "Fault",
    "Faults",
    "Journal",
    "RateLimit",
    "Shop",
    "StripeServer",
    "Visit",
    "World",
    "expanded",
    "seeded",
]
