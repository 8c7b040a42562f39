"""Paths of Stripe's document, for tests that ask for all of them."""

from sandbox.stripe import World, facts
from sandbox.stripe.paths import TARGETS, present


def filled(shape: facts.Shape, world: World) -> str:
    """A path with ids of objects."""
    path = present("/" + "/".join(shape)).removeprefix("/")
    target = TARGETS[facts.shape_of(path)]
    below = target.item and not (target.lone or target.part)
    for kind in [target.parent] * bool(target.parent) + [target.kinds[0].name] * below:
        order = world.table(kind).order
        path = path.replace("{}", order[-1].id if order else "x", 1)
    return path.replace("{}", "x")
