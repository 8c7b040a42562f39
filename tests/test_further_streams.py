"""The streams that the reference catalogue lacks, against the world: one capture of all of them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Final

import pytest

from sandbox.stripe import StripeServer, World
from sandbox.stripe.kinds import KINDS
from source_stripe_native.models import STREAMS
from tests.capture import UNLIMITED, Capture, Json
from tests.test_streams import FURTHER, HELD, ROWS, differences, populate, refused

HOUR: Final = 3_600
EACH: Final = 13
"""Objects of each kind in each account, of which seven have one parent."""
CHANGES: Final = 200

ASSEMBLED: Final = {"Balances", "BillingMeterEventSummaries", "InlinePrices"}
"""Streams whose documents are more than an object of a list."""
LISTED: Final = [each for each in FURTHER if each not in ASSEMBLED]
"""Streams that hold the objects of a list."""

NEEDED: Final = {
    "customer",
    "product",
    "price",
    "invoice",
    "payout",
    "payment_intent",
    "subscription",
    "coupon",
}
"""Parents of theirs, or what their objects point to."""
OWN: Final = {HELD[each].kind for each in LISTED}
COME_WITH_PARENT: Final = {
    "payment_link_item",
    "quote_item",
    "quote_upfront_item",
    "paid_balance_transaction",
    "payment_intent_amount_details_line_item",
    "financial_connections.transaction",
    "financial_connections.account_owner",
    "entitlements.active_entitlement",
    "payment_attempt_record",
}
"""Kinds whose objects are made along with their parent, or told by a summary of all of them."""
TOLD: Final = sorted(OWN - COME_WITH_PARENT)
IN_DEMAND: Final = {
    "BillingMeters",
    "CustomerTaxIds",
    "InvoicePayments",
    "IssuingCards",
    "PaymentLinkLineItems",
    "PaymentLinks",
    "PayoutBalanceTransactions",
    "QuoteLineItems",
    "Quotes",
    "ShippingRates",
    "SubscriptionLineItems",
    "TaxRates",
}
"""Streams that discover enables: many accounts have their objects."""


async def reached(is_reached: Callable[[], bool]) -> None:
    while not is_reached():  # noqa: ASYNC110 - the world's clock makes no event
        await asyncio.sleep(0.02)


@asynccontextmanager
async def running(capture: Capture) -> AsyncIterator[None]:
    """A session beside the test, which fails as soon as the session does."""
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        session = group.create_task(capture.session(seconds=120))
        yield
        session.cancel()


def wrong(capture: Capture, connected: bool, *, changed: bool = False) -> str:
    return "\n".join(
        filter(None, (differences(capture, each, connected, changed=changed) for each in LISTED))
    )


def edit(world: World, rng: Random) -> None:
    """Changes, and deletions where Stripe deletes such objects, that no event tells of."""
    for name in LISTED:
        stream, held = ROWS[name], HELD[name]
        if not stream.SNAPSHOTS or held.scope == "connected":
            continue
        accounts = [world.platform] if held.scope == "platform" else world.accounts
        for account in accounts:
            found = [each["id"] for each in world.list_all(held.kind, account)]
            changes: Json = {"metadata": {"edit": "silent"}} if "metadata" in KINDS[held.kind].fields else {}
            if "livemode" in KINDS[held.kind].fields:
                changes["livemode"] = True
            world.update(held.kind, found[0], account, event=False, **changes)
            if stream.SHOWS_DELETIONS:
                world.delete(held.kind, found[1], account, event=False)


@pytest.mark.parametrize("connected", [False, True])
async def test_a_capture_of_every_further_stream_equals_the_world_and_follows_it(
    world: World, server: StripeServer, connected: bool
) -> None:
    rng = Random(11)
    for account in (world.platform, world.connect(controller={"type": "application"})["id"]):
        populate(world, rng, account, OWN | NEEDED, EACH)
    # The world's clock makes leaps, of which Stripe is asked at once.
    settings = replace(UNLIMITED, longest_silence=timedelta())
    capture = Capture(server, streams=LISTED, connected=connected, settings=settings)
    async with running(capture):
        await reached(capture.is_backfilled)
        assert wrong(capture, connected) == ""
        assert [each for each in LISTED if not capture.last(each)] == []
        # The first snapshots.
        world.clock.advance(6 * HOUR)
        await reached(capture.caught_up)

        for _ in range(CHANGES):
            world.random_change(rng, TOLD)
            world.clock.advance(rng.choice([0, 0, 1, 20]))
        edit(world, rng)
        world.clock.advance(6 * HOUR)
        await reached(capture.caught_up)
    assert wrong(capture, connected, changed=True) == ""
    assert refused(server) == []
    keys = {name: [document[each[1:]] for each in ROWS[name].KEY] for name, document in capture.documents}
    assert all(all(each) for each in keys.values()), "every field of a key is always set"


def test_every_further_stream_is_disabled_unless_it_is_in_demand() -> None:
    enabled = {each.NAME for each in STREAMS if each.NAME in FURTHER and not each.DISABLED}
    assert enabled == IN_DEMAND, f"add to IN_DEMAND, or leave out DISABLED: {', '.join(enabled ^ IN_DEMAND)}"


def test_the_keys_of_further_streams_differ_between_accounts() -> None:
    for name in FURTHER:
        row = ROWS[name]
        fields = {each[1:] for each in row.KEY}
        assert fields & {"account_id", "account", "payout"}, name
        assert fields <= {each for each, field in row.model_fields.items() if field.is_required()}, name
