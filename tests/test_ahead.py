"""Objects that a test clock dates ahead of Stripe's own clock: what exists is captured, whatever its date."""

from typing import Any, Final

import pytest

from sandbox.stripe import StripeServer, World
from source_stripe_native.models import BaseStripeObject
from tests.capture import Capture
from tests.conftest import NOW
from tests.test_documents import DAY
from tests.test_streams import HELD, ONE_BY_ONE, rows

AHEAD: Final = NOW + 40 * DAY
LISTED: Final = [
    row
    for row in ONE_BY_ONE
    if row.CREATED
    and row.PARENT is None
    and not row.EMBEDDINGS
    and not row.SINGLE
    and not row.IS_EVENT
    and row.PER_ACCOUNT
]
CHILDREN: Final = [
    row
    for row in ONE_BY_ONE
    if row.CREATED and row.PARENT is not None and row.PARENT.PER_ACCOUNT and not row.SINGLE
]


@pytest.mark.parametrize("row", rows([*LISTED, *CHILDREN]))
async def test_in_test_mode_an_object_that_is_dated_ahead_is_in_the_backfill(
    world: World, server: StripeServer, row: type[BaseStripeObject]
) -> None:
    kind = HELD[row.NAME].kind
    ahead: dict[str, Any] = {row.CREATED: AHEAD}
    now, later = (world.create(kind, event=False, **fields)["id"] for fields in ({}, ahead))
    capture = await Capture(server, [row.NAME]).backfill()
    assert {now, later} <= set(capture.last(row.NAME))


async def test_what_holders_that_are_dated_ahead_show_is_in_the_backfill(
    world: World, server: StripeServer
) -> None:
    customer = world.create("customer", created=AHEAD, event=False)["id"]
    subscription = world.create("subscription", created=AHEAD, customer=customer, items=0, event=False)["id"]
    price = world.create("price", event=False, listed=False, active=False, created=AHEAD)
    world.create("subscription_item", event=False, subscription=subscription, price=price, created=AHEAD)
    discount = world.discount(customer, world.create("coupon", event=False)["id"], subscription, event=False)
    capture = await Capture(server, ["InlinePrices", "Discounts"]).backfill()
    assert set(capture.last("InlinePrices")) == {price["id"]}
    assert set(capture.last("Discounts")) == {discount["id"]}


async def test_of_many_the_slices_miss_none(world: World, server: StripeServer) -> None:
    wanted = {
        world.create("invoice", created=NOW + days * DAY // 10, event=False)["id"]
        for days in range(-900, 600)
    }
    capture = await Capture(server, ["Invoices"]).backfill()
    assert set(capture.last("Invoices")) == wanted


async def test_a_compared_list_follows_an_object_that_is_dated_ahead(
    world: World, server: StripeServer
) -> None:
    quote = world.create("quote", created=AHEAD, event=False)["id"]
    capture = await Capture(server, ["Quotes"]).backfill()
    world.update("quote", quote, event=False, description="edited")
    world.clock.advance(DAY)
    await capture.catch_up()
    assert capture.last("Quotes")[quote]["description"] == "edited"


async def test_in_live_mode_a_backfill_ends_at_its_cutoff(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(now=NOW, livemode=True)
    async with StripeServer(world) as server:
        monkeypatch.setenv("STRIPE_API_BASE", server.url)
        world.create("invoice", event=False)
        await Capture(server, ["Invoices"]).backfill()
        (first, *_) = server.journal.visits("/v1/invoices")
        assert int(first.query["created[lt]"]) == NOW + 1
