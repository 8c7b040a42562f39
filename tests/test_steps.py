"""Steps: whatever is read, a checkpoint is never far away, and what it covers is not read again."""

import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from sandbox.stripe import PLATFORM, StripeServer, World
from source_stripe_native.api import Changes, source_of
from source_stripe_native.backfill.steps import Backfill
from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.events.feed import EventFeed
from source_stripe_native.models import STREAMS
from source_stripe_native.state.windows import Window, floor
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import UNLIMITED, Capture, Json
from tests.conftest import NOW
from tests.test_streams import differences

HOUR: Final = 3_600
ROWS: Final = {row.NAME: row for row in STREAMS}
MOST: Final = 5
"""Documents that a checkpoint may have."""
SMALL: Final = replace(
    UNLIMITED,
    page_size=MOST,
    step_documents=MOST,
    concurrent_parents=2,
    child_snapshot_interval=timedelta(hours=1),
)
READ: Final = {
    "objects of their own list": ["Charges", "Customers"],
    "objects that lack something": ["Invoices"],
    "children that are listed": ["PaymentMethods", "CustomerBalanceTransaction"],
    "children that their parents show": ["Cards", "InvoiceLineItems"],
    "objects that others show": ["Discounts"],
    "compared lists": ["WebhookEndpoints", "ShippingRates", "ProductFeatures"],
    "polled lists": ["ValueListItems", "BalanceTransactions"],
}
"""Streams by how they are read."""


def fill(world: World, account: str) -> None:
    for number in range(6):
        at = NOW - HOUR + number
        # Of a few parents there are many children, and none of others.
        many = 13 if number in (1, 4) else 0
        world.create("charge", account, at=at, event=False)
        world.create("invoice", account, at=at, event=False, lines=many)
        world.create("radar.value_list", account, at=at, event=False, list_items=many)
        customer = world.create("customer", account, at=at, event=False)["id"]
        world.create("discount", account, at=at, event=False, customer=customer)
        product = world.create("product", account, at=at, event=False)["id"]
        for _ in range(many):
            for kind in ("payment_method", "customer_balance_transaction", "card"):
                world.create(kind, account, at=at, event=False, customer=customer)
            world.create("product_feature", account, at=at, event=False, product=product)
            for kind in ("webhook_endpoint", "shipping_rate", "balance_transaction"):
                world.create(kind, account, at=at, event=False)


def change(world: World, account: str) -> None:
    """Changes, with an event and without."""
    for kind in ("charge", "customer", "invoice"):
        for obj in world.list_all(kind, account):
            world.update(kind, obj["id"], account, metadata={"note": "newer"})
    for kind in ("webhook_endpoint", "shipping_rate"):
        for obj in world.list_all(kind, account):
            world.update(kind, obj["id"], account, event=False, metadata={"note": "newer"})
    for obj in world.list_all("webhook_endpoint", account)[:8]:
        world.delete("webhook_endpoint", obj["id"], account, event=False)


@dataclass
class Steps:
    """The documents of each checkpoint of a capture."""

    capture: Capture
    sizes: list[int] = field(default_factory=list)
    before: int = 0

    def caught_up(self) -> bool:
        self.sizes.append(len(self.capture.documents) - self.before)
        self.before = len(self.capture.documents)
        return all(map(self.capture.caught_up, self.capture.streams))


@pytest.mark.parametrize("how", READ)
@pytest.mark.parametrize(("connected", "kills"), [(False, [1, 2, 3]), (True, [2])])
async def test_no_checkpoint_has_more_documents_than_a_step_wherever_the_connector_is_killed(
    how: str, connected: bool, kills: list[int]
) -> None:
    world = World(seed=1, now=NOW)
    accounts = [PLATFORM, *(world.connect()["id"] for _ in range(connected))]
    for account in accounts:
        fill(world, account)
    with pytest.MonkeyPatch.context() as patch:
        async with StripeServer(world) as server:
            patch.setenv(API_BASE_VARIABLE, server.url)
            capture = Capture(server, READ[how], connected=connected, settings=SMALL)
            steps = Steps(capture)
            for changes in (False, True):
                if changes:
                    world.clock.advance(30)
                    for account in accounts:
                        change(world, account)
                    world.clock.advance(HOUR)
                for checkpoints in kills:
                    await capture.session(steps.caught_up, checkpoints=checkpoints)
                await capture.session(steps.caught_up)
            world.clock.advance(HOUR)
            await capture.session(steps.caught_up)
    assert max(steps.sizes) <= MOST
    assert sum(steps.sizes) > MOST, "there was something to be divided"
    assert "".join(differences(capture, stream, connected) for stream in capture.streams).strip() == ""


async def test_parents_that_are_done_are_not_read_again_after_a_stop(
    world: World, server: StripeServer
) -> None:
    for number in range(40):
        customer = world.create("customer", at=NOW - HOUR + number, event=False)["id"]
        world.create("payment_method", customer=customer, event=False)
    capture = Capture(server, ["PaymentMethods"], settings=replace(UNLIMITED, concurrent_parents=10))
    await capture.session(lambda: len(capture.documents) >= 20)
    done = len(capture.documents)
    assert done in (20, 30), "the page was under way"
    server.journal.clear()
    await capture.backfill()
    again = {visit.path for visit in server.journal.visits("/v1/customers/*/payment_methods")}
    assert len(again) <= 40 - done
    assert capture.last("PaymentMethods").keys() == {obj["id"] for obj in world.list_all("payment_method")}


async def test_objects_that_only_the_top_of_a_list_shows_are_captured_wherever_the_connector_is_killed(
    world: World, server: StripeServer
) -> None:
    """A list has no objects of test clocks, and does not go on after them."""
    clock = world.create("test_helpers.test_clock", event=False)["id"]
    for number in range(12):
        fields: Json = {"test_clock": clock} if number % 4 == 0 else {}
        customer = world.create("customer", at=NOW - HOUR + number, event=False, **fields)["id"]
        world.create("payment_method", customer=customer, event=False)
    for kill in range(1, 8):
        capture = Capture(server, ["PaymentMethods"], settings=SMALL)
        await capture.session(checkpoints=kill)
        await capture.backfill()
        ids = {obj["id"] for obj in world.list_all("payment_method")}
        assert capture.last("PaymentMethods").keys() == ids


async def test_backfill_of_many_parents_takes_no_request_more_than_there_are_lists(
    world: World, server: StripeServer
) -> None:
    """Where the last parents have no children, there is no document to end with."""
    for number in range(40):
        customer = world.create("customer", at=NOW - HOUR + number, event=False)["id"]
        if number > 20:
            world.create("payment_method", customer=customer, event=False)
    capture = await Capture(server, ["PaymentMethods"], settings=UNLIMITED).backfill()
    assert len(server.journal.visits("/v1/customers/*/payment_methods")) == 40
    assert len(server.journal.visits("/v1/customers", limit="100")) == 1
    assert len(capture.last("PaymentMethods")) == 19


async def test_objects_that_changed_while_any_step_of_their_page_was_read_are_left_out(
    world: World, server: StripeServer
) -> None:
    """Also if nothing is left of the last step, in which case the cursor after it is not the end."""
    found = [world.create("invoice", at=NOW - HOUR + n, event=False, lines=20)["id"] for n in range(3)]
    superseded, log = SupersededIds(), logging.getLogger("test")
    one_by_one = replace(UNLIMITED, concurrent_parents=1)

    async def read(page: str | None, *, is_captured: bool) -> list[Any]:
        items: list[Any] = []
        start, cutoff = (datetime.fromtimestamp(at, tz=UTC) for at in (NOW - 2 * HOUR, NOW))
        source = source_of(ROWS["Invoices"], PLATFORM, None, http, log)
        backfill = Backfill(source, floor(start), [], superseded=superseded)
        async for item in backfill.fetch(log, page, cutoff):
            items.append(item if isinstance(item, str) else item["id"])
            if is_captured and isinstance(item, str):
                superseded.add(("Invoices", PLATFORM), found[0])
        return items

    async with StripeSession(
        world.key, base=server.url, version=world.api_version, settings=one_by_one
    ) as http:
        items = await read(None, is_captured=True)
        assert [item for item in items if item.startswith("in_")] == [found[2], found[1]]
        assert [items.index(found[2]), items.index(found[1])] == [0, 2]
        assert items[-1].startswith("{"), "a cursor after what was left out"
        assert await read(items[-1], is_captured=False) == []
        assert not superseded._records


# Compared lists


async def test_what_is_remembered_of_compared_lists_is_bounded_in_bytes(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(30):
        world.create("shipping_rate", event=False)
    ids = {obj["id"] for obj in world.list_all("shipping_rate")}
    capture = Capture(server, ["ShippingRates"], settings=replace(UNLIMITED, remembered_bytes=3_500))
    counts = list[int]()
    for _ in range(3):
        before = len(capture.documents)
        await capture.catch_up(HOUR)
        counts.append(len(capture.documents) - before)
    assert capture.last("ShippingRates").keys() == ids
    warned = [line for line in caplog.records if "remembered in memory" in line.message]
    assert len(warned) <= 3, "one of each process"
    assert warned


async def test_lists_of_accounts_are_compared_at_times_spread_over_the_interval(
    world: World, server: StripeServer
) -> None:
    accounts = [PLATFORM, *(world.connect()["id"] for _ in range(11))]
    for account in accounts:
        world.create("shipping_rate", account, event=False)
    capture = Capture(server, ["ShippingRates"], connected=True, settings=UNLIMITED)
    await capture.session(capture.caught_up)
    read: list[set[str]] = []
    for _ in range(6):
        server.journal.clear()
        world.clock.advance(HOUR // 6)
        await capture.session(capture.caught_up)
        read.append({visit.account for visit in server.journal.visits("/v1/shipping_rates")})
    assert set().union(*read) == set(accounts)
    assert sum(map(len, read)) == len(accounts), "each once an hour"
    assert max(map(len, read)) < len(accounts)


# Who waits


class Waiting:
    """The changes of accounts. Notes what is reserved while they are waited for."""

    def __init__(self, http: StripeSession) -> None:
        self.http = http
        self.reserved: list[int] = []
        self.paused = frozenset[str]()

    async def wait(self, _: int) -> None:
        self.reserved.append(self.http.change_budget.reserved)

    def limit(self, due: Window) -> Window:
        return due

    def take(self) -> list[str]:
        return []

    def left(self, captured: set[str]) -> list[str]:
        return []

    def release(self, captured: set[str]) -> None: ...


async def test_binding_accounts_holds_nothing_while_it_waits_for_the_accounts(
    world: World, server: StripeServer
) -> None:
    world.connect()
    cursor, log = datetime.fromtimestamp(NOW - HOUR, tz=UTC), logging.getLogger("test")
    async with StripeSession(world.key, base=server.url, version=world.api_version) as http:
        changes: Any = Waiting(http)
        await http.refresh_clock(log)
        accounts = ROWS["Accounts"]
        feed = EventFeed(accounts.all_event_types(), window_size=timedelta(hours=1), settings=http.settings)
        source = source_of(accounts, PLATFORM, None, http, log)
        reading = Changes(source, feed, account_changes=changes)
        items = [item async for item in reading.fetch(log, cursor)]
        assert changes.reserved == [0]
        assert isinstance(items[-1], datetime)
        assert http.change_budget.reserved == 0
