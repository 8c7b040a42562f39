"""How many requests a capture needs for what its parents show: cards and bank accounts of customers, lines of
Checkout sessions; how many pages of customers the four children of customers read; how fast changed objects
are read again; and what new payment records cost.

Requests are counted from the local Stripe's journal.
"""

import functools
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from bench.figures import Figures
from bench.limits import LATENCY, rate
from bench.run import Json, Task, Written, capture
from sandbox.stripe import StripeServer, World
from sandbox.stripe.limits import RateLimit
from source_stripe_native.settings import DEFAULTS

CUSTOMERS: Final = 10_000
SESSIONS: Final = 10_000
FEW: Final = 500
"""Customers whose payment methods and balance transactions are listed too, one request each."""
CHANGED: Final = 1_000
YOUNG: Final = 16
"""Requests for as many objects that are as young as their change: a page for each hundred, and a few for the
ends of what is looked at together."""
PRICES: Final = 5_000
PAGE: Final = 100
YEAR: Final = 365 * 86_400
SHOWN: Final = ("Cards", "BankAccounts", "CheckoutSessionsLine")
OF_CUSTOMERS: Final = ("Cards", "BankAccounts", "PaymentMethods", "CustomerBalanceTransaction")


RECORDS: Final = 400
NEW_RECORDS: Final = 10


def shop(customers: int, sessions: int) -> World:
    """An account whose customers have a card and a bank account each, and whose sessions have lines."""
    world = World(seed=1)
    now = world.clock.now()
    for number in range(customers):
        at = now - YEAR + number * 60
        customer = world.create("customer", at=at, event=False)["id"]
        for kind in ("card", "bank_account"):
            world.create(kind, at=at, customer=customer, event=False)
    price = world.create("price", at=now - YEAR, event=False)
    for number in range(sessions):
        at = now - YEAR + number * 60
        session = world.create("checkout.session", at=at, event=False)["id"]
        for _ in range(2):
            world.create("item", at=at, session=session, price=price, event=False)
    return world


def has_backfilled(streams: Sequence[str], written: Written) -> bool:
    return all(written.has_backfilled(each) for each in streams)


def has_captured(stream: str, number: int, written: Written) -> bool:
    return written.documents.get(stream, 0) >= number


def have_captured(streams: Sequence[str], number: int, written: Written) -> bool:
    return all(has_captured(each, number, written) for each in streams)


async def shown_children(figures: Figures) -> None:
    """Children that their parents show cost about a request for each hundred parents."""
    async with StripeServer(shop(CUSTOMERS, SESSIONS)) as server:
        for streams, parents in ((SHOWN[:2], CUSTOMERS), (SHOWN[2:], SESSIONS)):
            server.journal.clear()
            await capture(server, Task(streams), functools.partial(has_backfilled, streams), at_most=120)
            # What is asked once at the start is none of it.
            visits = [
                each for each in server.journal if each.path.startswith(("/v1/customers", "/v1/checkout"))
            ]
            about = f"{', '.join(streams)} of {parents:,} parents"
            figures.add(about, "requests", len(visits) / (parents / PAGE), 1.1, "for each 100 parents")


async def shared_pages(figures: Figures) -> None:
    """The four children of customers read the customers' pages once."""
    async with StripeServer(shop(FEW, 0)) as server:
        task = Task(OF_CUSTOMERS)
        for stream in ("payment_method", "customer_balance_transaction"):
            server.world.create(stream, event=False)
        await capture(server, task, functools.partial(has_backfilled, OF_CUSTOMERS), at_most=120)
        pages = [each for each in server.journal if each.path == "/v1/customers"]
        least = math.ceil(len(server.world.list_all("customer")) / PAGE)
    figures.add("the four children of customers", "pages of customers", len(pages) / least, 1, "of the least")


async def tiered_prices(figures: Figures) -> None:
    """The tiers of further currencies come with the page."""
    world = World(seed=1)
    now = world.clock.now()
    option = {"unit_amount": None, "tiers": [{"up_to": None, "unit_amount": 1}]}
    tiered: Json = {"billing_scheme": "tiered", "currency_options": {"usd": option, "eur": option}}
    for number in range(PRICES):
        world.create("price", at=now - YEAR + number * 60, event=False, **(tiered if number % 2 else {}))
    async with StripeServer(world) as server:
        await capture(server, Task(["Prices"]), functools.partial(has_backfilled, ["Prices"]), at_most=120)
        # One more page for each variant of the backfill.
        visits = [visit for visit in server.journal if visit.path.startswith("/v1/prices")]
    about = f"{PRICES:,} prices, half of them with tiers in two currencies"
    figures.add(about, "requests", len(visits) / (PRICES / PAGE + 1), 1.1, "for each 100 prices")


async def rereads(figures: Figures) -> None:
    """Changed objects that have to be read again are read at the rate that the limits allow, and young ones a
    page at a time. Those that need not be read again cost nothing."""
    world = World(seed=1, livemode=True)
    now = world.clock.now()
    prices = [world.create("price", at=now - 7200, event=False)["id"] for _ in range(CHANGED)]
    charges = [world.create("charge", at=now - 7200, event=False)["id"] for _ in range(CHANGED)]
    for number in range(CHANGED):
        at = now - 3600 + number
        world.create("payment_intent", at=at)
        world.update("price", prices[number], at=at, nickname="changed")
        world.update("charge", charges[number], at=at, description="changed")
    cursor = {"cursor": "2020-01-01T00:00:00Z"}
    for stream, path, again in (
        ("Prices", "/v1/prices/", CHANGED),
        ("Charges", "/v1/charges/", 0),
        ("PaymentIntents", "/v1/payment_intents", YOUNG),
    ):
        cursor["cursor"] = _iso(now - 7000)
        async with StripeServer(world, latency=LATENCY, limits=RateLimit()) as server:
            state = {"bindingStateV1": {stream: {"inc": dict(cursor), "last_initialized": _iso(now)}}}
            task = Task([stream], state=state, lifted=False)
            await capture(server, task, functools.partial(has_captured, stream, CHANGED), at_most=180)
            visits = [each for each in server.journal if each.path.startswith(path)]
        about = f"{CHANGED:,} changed {stream.lower()}"
        figures.add(about, "requests to read them again", len(visits), again)
        if again == CHANGED:
            allowed = DEFAULTS.requests_per_endpoint
            seen = rate(visits, min(each.started_at for each in visits))
            figures.add(about, f"requests/s: {seen:.1f}", seen / allowed, 0.9, "of limit", at_least=True)


async def new_records(figures: Figures) -> None:
    """New payment records cost a page, and a request each for their attempts. Older ones are not read again.
    When the whole list was compared, each reading cost a page for each hundred records, and a request for
    each record."""
    world = World(seed=1)
    now = world.clock.now()
    for number in range(RECORDS):
        at = now - 600 + number if number < NEW_RECORDS else now - 86_400 - number
        record = world.create("payment_record", at=at, event=False)["id"]
        world.create("payment_attempt_record", at=at, payment_record=record, event=False)
    path = "/v1/payment_"
    for streams, at_most, before in (
        (["PaymentRecords"], 2, RECORDS // PAGE),
        (["PaymentRecords", "PaymentAttemptRecords"], 15, RECORDS + RECORDS // PAGE),
    ):
        async with StripeServer(world) as server:
            inc = {"inc": {"cursor": _iso(now - 1200)}, "last_initialized": _iso(now)}
            task = Task(streams, state={"bindingStateV1": dict.fromkeys(streams, inc)})
            await capture(server, task, functools.partial(have_captured, streams, NEW_RECORDS), at_most=60)
            visits = [each for each in server.journal if each.path.startswith(path)]
        about = f"{', '.join(streams)}: {NEW_RECORDS} new of {RECORDS}"
        figures.add(about, f"requests; {before} when all were compared", len(visits), at_most)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).isoformat().replace("+00:00", "Z")
