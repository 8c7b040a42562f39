"""Streams whose documents are more than the objects of a list: what they have, and what is left out."""

from typing import Any, Final

import pytest

from sandbox.stripe import Fault, StripeServer, World
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import Capture, Json
from tests.conftest import NOW

DAY: Final = 86_400
MIDNIGHT: Final = NOW // DAY * DAY


def ids(documents: list[Json]) -> dict[str, str]:
    """The operation of each document by its id."""
    return {each["id"]: each["_meta"]["op"] for each in documents}


# Balances


async def test_the_balance_is_a_document_for_each_day_and_follows_its_event(
    world: World, server: StripeServer
) -> None:
    world.create("balance", event=False, available=[])
    capture = await Capture(server, ["Balances"]).backfill()
    today = {"id": "2026-05-28", "object": "balance", "created": MIDNIGHT, "available": []}
    assert capture.last("Balances")["2026-05-28"].items() >= today.items()
    world.clock.advance(10)
    (balance,) = world.list_all("balance")
    money: Any = [{"amount": 700, "currency": "usd", "source_types": {}}]
    world.update("balance", balance["id"], available=money)
    (document,) = await capture.catch_up()
    assert (document["id"], document["available"]) == ("2026-05-28", money)
    world.clock.advance(DAY)
    await capture.catch_up()
    assert capture.last("Balances").keys() == {"2026-05-28", "2026-05-29"}


# Summaries of meters


def use(world: World, meter: str, customer: str, day: int) -> str:
    """What a customer used on the day that begins at `day`."""
    id = f"mtrusg_{customer}_{meter}_{day}"
    fields: Json = {"meter": meter, "start_time": day, "end_time": day + DAY}
    return str(world.create("billing.meter_event_summary", id=id, event=False, **fields)["id"])


async def test_usage_is_captured_by_meter_customer_and_whole_day_and_read_again_when_it_is_late(
    world: World, server: StripeServer
) -> None:
    meter = world.create("billing.meter", event=False)["id"]
    recurring: Json = {"interval": "month", "usage_type": "metered", "meter": meter}
    price = world.create("price", event=False, recurring=recurring)["id"]
    used: set[str] = set()
    customers: set[str] = set()
    for _ in range(2):
        customer = world.create("customer", event=False)["id"]
        customers.add(customer)
        subscription = world.create("subscription", event=False, customer=customer, items=0)["id"]
        for _ in range(2):  # two items of one meter are one list
            item: Json = {"price": world.get("price", price)}
            world.create("subscription_item", event=False, subscription=subscription, **item)
        used |= {use(world, meter, customer, MIDNIGHT - days * DAY) for days in (1, 2, 45)}
        use(world, meter, customer, MIDNIGHT)
    world.create("price", event=False)
    world.create("subscription", event=False)
    capture = await Capture(server, ["BillingMeterEventSummaries"]).backfill()
    documents = capture.last("BillingMeterEventSummaries")
    assert documents.keys() == used, "of whole days only"
    assert {each["customer"] for each in documents.values()} == customers
    assert len(server.journal.visits("/v1/billing/meters/*/event_summaries")) == 2
    # Stripe takes meter events of the last 35 days.
    late = {use(world, meter, customer, MIDNIGHT - days * DAY) for days in (5, 10, 34, 35)}
    world.clock.advance(DAY)
    found = ids(await capture.catch_up())
    assert late <= set(found)
    assert f"mtrusg_{customer}_{meter}_{MIDNIGHT}" in found
    assert not any(str(MIDNIGHT - 45 * DAY) in each for each in found), "the last days only"


async def test_usage_takes_a_request_for_each_customer_with_a_subscription_to_the_meter(
    world: World, server: StripeServer
) -> None:
    """docs/limits.md says so: a request for each meter and customer would find the usage of the others."""
    meters = [world.create("billing.meter", event=False)["id"] for _ in range(3)]
    customers = [world.create("customer", event=False)["id"] for _ in range(20)]
    for customer, meter in zip(customers[:2], meters, strict=False):
        recurring: Json = {"interval": "month", "usage_type": "metered", "meter": meter}
        price: Json = {"price": world.create("price", event=False, recurring=recurring)}
        subscription = world.create("subscription", event=False, customer=customer, items=0)["id"]
        world.create("subscription_item", event=False, subscription=subscription, **price)
    for customer in customers:
        use(world, meters[0], customer, MIDNIGHT - DAY)
    capture = await Capture(server, ["BillingMeterEventSummaries"]).backfill()
    assert {each["customer"] for _, each in capture.documents} == {customers[0]}
    lists = server.journal.visits("/v1/billing/meters/*/event_summaries")
    assert len(lists) == 2, "and not 60"


# Inline prices


async def test_a_price_that_no_list_has_is_found_in_what_was_sold(world: World, server: StripeServer) -> None:
    world.create("subscription", event=False, items=0)
    invoice = world.create("invoice", event=False, lines=0)["id"]
    archived = world.create("price", event=False, active=False)

    def inline(**options: Any) -> Json:
        return world.create("price", event=False, listed=False, active=False, **options)

    def sell_all(event: bool) -> list[str]:
        """Sells an inline price in each way; their ids."""
        in_item, in_line, in_session = (inline(created=NOW - 5) for _ in range(3))
        world.create("subscription_item", event=event, price=in_item)
        details: Json = {"price_details": {"price": in_line["id"], "product": in_line["product"]}}
        world.create("line_item", event=event, invoice=invoice, pricing={"type": "price_details", **details})
        session = world.create("checkout.session", event=False, line_items=0)["id"]
        world.create("item", event=False, session=session, price=in_session)
        world.update("checkout.session", session, event=event, status="complete")
        return [in_item["id"], in_line["id"], in_session["id"]]

    world.create("subscription_item", event=False, price=archived)
    before = sell_all(event=False)
    capture = await Capture(server, ["InlinePrices"]).backfill()
    documents = capture.last("InlinePrices")
    assert documents.keys() == {*before}
    assert {each["found_in"]["object"] for each in documents.values()} == {
        "subscription",
        "invoice",
        "checkout.session",
    }
    world.clock.advance(10)
    after = sell_all(event=True)
    await capture.catch_up()
    assert capture.last("InlinePrices").keys() == {*before, *after}


# Payment methods without a customer


@pytest.mark.parametrize("connected", [False, True])
async def test_payment_methods_without_a_customer_are_backfilled_and_found(
    world: World, server: StripeServer, connected: bool
) -> None:
    account = world.connect()["id"] if connected else None
    customer = world.create("customer", account, event=False)["id"]
    old = {
        world.create("payment_method", account, customer=each, at=NOW - number, event=False)["id"]
        for number, each in enumerate([customer, *[None] * 150])
    }
    world.create("payment_method", account, customer=None, at=100, event=False)
    capture = await Capture(server, ["PaymentMethods"], connected=connected).backfill()
    assert capture.last("PaymentMethods").keys() == old, "those since the start date"
    world.clock.advance(100)
    new = world.create("payment_method", account, customer=None, event=False)["id"]
    world.clock.advance(120)
    assert ids([each for each in await capture.catch_up() if each["id"] == new]) == {new: "c"}


async def test_a_version_without_a_list_of_such_payment_methods_has_those_of_customers(
    world: World, server: StripeServer
) -> None:
    own = world.create("payment_method", event=False)["id"]
    missing = "Missing required param: customer."
    server.faults.set(Fault("/v1/payment_methods", status=400, code="parameter_missing", message=missing))
    capture = await Capture(server, ["PaymentMethods"]).backfill()
    assert [each["id"] for each in await capture.catch_up()] == []
    assert capture.last("PaymentMethods").keys() == {own}


# Test clocks

CLOCKED: Final = [
    "Customers",
    "Subscriptions",
    "SubscriptionItems",
    "Quotes",
    "Cards",
    "SubscriptionLineItems",
]


@pytest.mark.parametrize("livemode", [False, True])
async def test_objects_of_test_clocks_are_captured_in_test_mode(
    monkeypatch: pytest.MonkeyPatch, livemode: bool
) -> None:
    world = World(now=NOW, livemode=livemode)
    clocks = [world.create("test_helpers.test_clock", event=False)["id"] for _ in range(2)]
    expected = dict.fromkeys(CLOCKED, 1 if livemode else 3)
    for clock in (None, *clocks):
        customer = world.create("customer", event=False, test_clock=clock)["id"]
        world.create("card", event=False, customer=customer)
        world.create("subscription", event=False, customer=customer, test_clock=clock)
        world.create("quote", event=False, customer=customer, test_clock=clock)
    async with StripeServer(world) as server:
        monkeypatch.setenv(API_BASE_VARIABLE, server.url)
        capture = await Capture(server, CLOCKED).backfill()
    assert {each: len(capture.last(each)) for each in CLOCKED} == expected


async def test_a_key_that_may_not_read_test_clocks_captures_the_rest(
    world: World, server: StripeServer
) -> None:
    clock = world.create("test_helpers.test_clock", event=False)["id"]
    world.create("customer", event=False, test_clock=clock)
    plain = world.create("customer", event=False)["id"]
    capture = await Capture(
        server, ["Customers"], key=world.restrict({"account", "event", "customer"})
    ).backfill()
    assert capture.last("Customers").keys() == {plain}


# What is no longer part of another object


async def test_an_item_that_is_taken_off_a_subscription_is_a_tombstone(
    world: World, server: StripeServer
) -> None:
    subscription = world.create("subscription", items=3, event=False)["id"]
    capture = await Capture(server, ["SubscriptionLineItems"]).backfill()
    assert len(capture.last("SubscriptionLineItems")) == 3
    world.clock.advance(10)
    gone, *rest = (each["id"] for each in world.list_all("subscription_item"))
    world.delete("subscription_item", gone)
    world.clock.advance(1)
    world.update("subscription", subscription, description="later")
    found = await capture.catch_up()
    assert ids(found)[gone] == "d"
    assert next(each for each in found if each["id"] == gone)["subscription"] == subscription
    assert capture.last("SubscriptionLineItems").keys() == set(rest)


async def test_an_item_taken_off_that_stripe_refuses_to_show_is_left_as_it_is_and_holds_up_no_other(
    world: World, server: StripeServer
) -> None:
    world.create("subscription", items=3, event=False)
    capture = await Capture(server, ["SubscriptionLineItems"]).backfill(pause=10)
    barred, changed, _ = (each["id"] for each in world.list_all("subscription_item"))
    server.faults.set(Fault(f"*/{barred}", status=403, message="Not for you"))
    world.delete("subscription_item", barred)
    world.clock.advance(1)
    world.update("subscription_item", changed, quantity=7)
    found = await capture.catch_up()
    assert ids(found)[changed] == "u"
    assert barred not in ids(found)


async def test_an_item_that_a_cut_list_no_longer_shows_is_no_tombstone(
    world: World, server: StripeServer
) -> None:
    world.create("subscription", items=10, event=False)
    capture = await Capture(server, ["SubscriptionLineItems"]).backfill(pause=10)
    world.create("subscription_item")
    found = await capture.catch_up()
    assert len(found) >= 11
    assert {each["_meta"]["op"] for each in found} == {"u"}


async def test_entitlements_follow_the_summary_of_their_customer(world: World, server: StripeServer) -> None:
    customer = world.create("customer", event=False)["id"]
    kept, gone = (
        world.create("entitlements.active_entitlement", event=False, customer=customer) for _ in range(2)
    )
    capture = await Capture(server, ["EntitlementsActiveEntitlements"]).backfill(pause=10)
    world.delete("entitlements.active_entitlement", gone["id"], event=False)
    new = world.create("entitlements.active_entitlement", event=False, customer=customer)
    summary: Json = {
        "object": "entitlements.active_entitlement_summary",
        "customer": customer,
        "entitlements": {"object": "list", "data": [new, kept], "has_more": False},
    }
    before: Json = {"entitlements": {"data": [kept, gone]}}
    world.announce("entitlements.active_entitlement_summary.updated", summary, previous=before)
    found = await capture.catch_up()
    assert ids(found) == {kept["id"]: "u", new["id"]: "u", gone["id"]: "d"}
    assert {each["customer"] for each in found} == {customer}


# Payouts


async def test_transactions_are_captured_of_automatic_payouts_only(
    world: World, server: StripeServer
) -> None:
    automatic = world.create("payout", event=False)["id"]
    manual = world.create("payout", event=False, automatic=False)["id"]
    capture = await Capture(server, ["PayoutBalanceTransactions"]).backfill()
    assert [each["payout"] for _, each in capture.documents] == [automatic] * 2
    assert server.journal.visits("/v1/balance_transactions", payout=manual) == []
    world.clock.advance(10)
    world.tell("payout.paid", "payout", manual)
    # A version in which a payout does not say that it is manual.
    world.announce("payout.paid", {"id": manual, "object": "payout"})
    world.tell("payout.reconciliation_completed", "payout", automatic)
    assert {each["payout"] for each in await capture.catch_up()} == {automatic}
