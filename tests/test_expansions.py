"""Fields that Stripe returns only when asked: captured, kept through changes, survivable where refused."""

from random import Random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import Fault, StripeServer, World
from source_stripe_native.models import STREAMS
from source_stripe_native.stripe.client import API_BASE_VARIABLE
from source_stripe_native.stripe.expansions import object_params
from tests.capture import Capture, unstamped
from tests.conftest import NOW
from tests.test_documents import backfill, catch_up, logged
from tests.test_streams import HELD, expected, without_needless

EXPANDED: Final = [each for each in STREAMS if each.EXPANSIONS]
KINDS: Final = sorted({HELD[each.NAME].kind for each in EXPANDED} - {"item"})
"""Lines of a Checkout session come with it, never later."""


def rows(streams: list[Any]) -> list[Any]:
    return [pytest.param(each, id=each.NAME) for each in streams]


def captured(capture: Capture, stream: str) -> dict[str, Any]:
    left = HELD[stream].parent_field
    return {
        key: {
            name: value for name, value in without_needless(stream, unstamped(each)).items() if name != left
        }
        for key, each in capture.last(stream).items()
    }


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    connected=st.booleans(),
    kills=st.lists(st.integers(1, 6), max_size=3),
)
async def test_every_expanded_field_is_as_in_the_world_wherever_the_connector_is_killed(
    seed: int, connected: bool, kills: list[int]
) -> None:
    world, rng = World(seed, now=NOW, unordered=True), Random(seed)
    if connected:
        world.connect()
    for account in world.accounts:
        for kind in (*KINDS, "item"):
            for _ in range(3):
                world.create(kind, account, at=NOW - 5000, event=False)
    names = [each.NAME for each in EXPANDED]
    with pytest.MonkeyPatch.context() as patch:
        async with StripeServer(world) as server:
            patch.setenv(API_BASE_VARIABLE, server.url)
            capture = Capture(server, names, connected=connected)

            def caught_up() -> bool:
                return all(map(capture.caught_up, names))

            for checkpoints in kills:
                await capture.session(caught_up, checkpoints=checkpoints)
                for _ in range(8):
                    world.random_change(rng, KINDS)
                    world.clock.advance(rng.choice([0, 1, 40]))
                world.clock.advance(61)
            await capture.session(caught_up, seconds=40)
    for name in names:
        assert captured(capture, name) == expected(world, name, connected)


@pytest.mark.parametrize("stream", rows([each for each in EXPANDED if each.EVENT_TYPES]))
@pytest.mark.parametrize("status", [400, 403])
async def test_a_refused_expansion_costs_its_field_and_one_warning(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, stream: Any, status: int
) -> None:
    (_, field), *_ = object_params(stream)
    message = {
        400: f"This property cannot be expanded ({field}).",
        403: "The provided key 'rk_test_1' does not have the required permissions for this endpoint",
    }[status]
    refusal = {"status": status, "message": message}
    # As it is spelled in a query: the field of a list, or of an object.
    server.faults.set(
        Fault(query=f"data.{field}", **refusal),  # type: ignore[arg-type]  # as named
        Fault(query=f"={field}", **refusal),  # type: ignore[arg-type]  # as named
    )
    ids = {world.create(HELD[stream.NAME].kind, event=False)["id"] for _ in range(3)}
    capture = Capture(server, [stream.NAME])
    await backfill(capture)
    assert ids <= capture.last(stream.NAME).keys()
    # Once for the list, and once for single objects where these are read too.
    lines = logged(caplog, "is asked without")
    assert 1 <= len(lines) <= 2
    for line in lines:
        assert stream.NAME in line.message
        assert field in line.message
    await catch_up(capture)


async def test_what_one_account_refuses_to_expand_stays_in_the_documents_of_the_others(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    refused, other = (world.connect()["id"] for _ in range(2))
    for account in world.accounts:
        for _ in range(3):
            world.create("coupon", account, event=False, applies_to={"products": ["prod_1"]})
    message = "This property cannot be expanded (data.applies_to)."
    server.faults.set(Fault("/v1/coupons", account=refused, query="expand", status=400, message=message))
    capture = Capture(server, ["Coupons"], connected=True)
    await capture.session(lambda: len(capture.last("Coupons")) == 9)
    assert {(each["account_id"], "applies_to" in each) for each in capture.last("Coupons").values()} == {
        (world.platform, True),
        (other, True),
        (refused, False),
    }
    (line,) = logged(caplog, "is asked without")
    assert refused in line.message


async def test_a_filter_that_stripe_does_not_know_is_sifted_here(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    old = world.create("charge", at=NOW - 900_000_000, event=False)["id"]
    new = {world.create("charge", at=NOW - 1000 - each, event=False)["id"] for each in range(150)}
    server.faults.set(
        Fault(
            "/v1/charges",
            query="created",
            status=400,
            code="parameter_unknown",
            param="created",
            message="Received unknown parameter: created",
        )
    )
    capture = Capture(server, ["Charges"])
    await backfill(capture)
    assert capture.last("Charges").keys() == new
    assert old not in capture.last("Charges")
    assert len(logged(caplog, "is asked without")) == 1
