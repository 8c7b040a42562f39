"""The benches measure what they say: their worlds have what they wait for."""

from bench.memory import MADE, filled, ids
from sandbox.stripe.kinds import KINDS


def test_the_memory_bench_waits_for_objects_of_each_kind_that_it_makes() -> None:
    world = filled(1)
    assert KINDS.keys() >= {*MADE}
    assert all(world.list_all(kind, world.accounts[1]) for kind in MADE)
    assert len(list(ids(world))) == len({*ids(world)})
