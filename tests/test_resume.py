"""Kill the connector at any checkpoint, change the world meanwhile, resume: the capture equals the world.

What no checkpoint covers when a session is killed is dropped, as Flow drops it.
"""

from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import StripeServer, World
from source_stripe_native.settings import Settings
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import UNLIMITED, Capture, Json, plain
from tests.conftest import NOW


@dataclass(frozen=True)
class Session:
    """Killed after `checkpoints`; then so many random changes happen, each `pause` seconds after the last."""

    checkpoints: int
    changes: int
    pause: int


SESSIONS = st.lists(
    st.builds(
        Session,
        checkpoints=st.integers(0, 6),
        changes=st.integers(0, 12),
        pause=st.sampled_from([0, 0, 1, 7, 45]),
    ),
    max_size=6,
)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    connected=st.sampled_from([None, 0, 3]),
    prices=st.integers(0, 25),
    page_size=st.integers(1, 5),
    sessions=SESSIONS,
    settle=st.booleans(),
)
async def test_the_captured_prices_equal_the_worlds_wherever_the_connector_is_killed(
    seed: int, connected: int | None, prices: int, page_size: int, sessions: list[Session], settle: bool
) -> None:
    world, rng = World(seed, now=NOW, unordered=True), Random(seed)
    for _ in range(connected or 0):
        world.connect()
    for _ in range(prices):
        world.create(
            "price",
            rng.choice(world.accounts),
            active=rng.random() < 0.6,
            created=NOW - rng.randrange(60),
            event=False,
        )
    with pytest.MonkeyPatch.context() as patch:
        settings = replace(UNLIMITED, page_size=page_size)
        capture = await live(world, rng, sessions, connected is not None, settle, patch, settings)
    accounts = world.accounts if connected is not None else [world.platform]
    expected = {each["id"]: each for account in accounts for each in world.list_all("price", account)}
    assert {key: plain(each) for key, each in capture.last().items()} == expected
    deleted = {document["id"] for _, document in capture.documents if document["_meta"]["op"] == "d"}
    assert not deleted & expected.keys()


async def live(
    world: World,
    rng: Random,
    sessions: list[Session],
    connected: bool,
    settle: bool,
    patch: pytest.MonkeyPatch,
    settings: Settings,
) -> Capture:
    async with StripeServer(world) as server:
        patch.setenv(API_BASE_VARIABLE, server.url)
        capture = Capture(server, connected=connected, settings=settings)
        for each in sessions:
            await capture.session(capture.caught_up, checkpoints=each.checkpoints)
            for _ in range(each.changes):
                world.random_change(rng, ["price"])
                world.clock.advance(each.pause)
            # Nothing is sure to happen in a session unless there is something new to read.
            world.clock.advance(61 if settle else 1)
            if not settle and capture.state and not has_work(capture):
                world.clock.advance(61)
        await capture.catch_up(61)
        return capture


def has_work(capture: Capture) -> bool:
    state: Json = capture.binding_state()
    return bool(state.get("backfill"))
