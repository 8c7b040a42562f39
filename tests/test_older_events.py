"""What the events of an account with an older default version lack: ids, and fields that a row follows. Their
objects are read again, or what they name is."""

from typing import Final

import pytest

from sandbox.stripe import StripeServer, World
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.versions import LATEST
from source_stripe_native.models import STREAMS, BaseStripeObject
from tests.capture import Capture, Json, plain, without_secrets
from tests.conftest import NOW
from tests.test_documents import ids
from tests.test_rereads import REREAD, account_of
from tests.test_streams import HELD, rows

OLD: Final = "2018-01-23"
PINNED: Final[Json] = {"advanced": {"api_version": LATEST}}


@pytest.fixture
def world() -> World:
    return World(now=NOW, api_version=OLD)


# Ids


@pytest.mark.parametrize("holder", ["customer", "subscription"])
@pytest.mark.parametrize("change", ["created", "updated"])
async def test_a_discount_without_an_id_is_read_where_it_is_shown(
    world: World, server: StripeServer, holder: str, change: str
) -> None:
    customer = world.create("customer", event=False)["id"]
    subscription = world.create("subscription", event=False, customer=customer)["id"]
    coupon, other = (world.create("coupon", event=False)["id"] for _ in range(2))
    of = (customer, coupon, subscription if holder == "subscription" else None)
    if change == "updated":
        world.discount(*of, event=False)
    capture = await Capture(server, ["Discounts", "Coupons"], config=PINNED).backfill(pause=10)
    found = world.discount(of[0], other if change == "updated" else coupon, of[2])
    (event,) = world.events()
    assert event["type"] == f"customer.discount.{change}"
    assert "id" not in event["data"]["object"]
    await capture.catch_up()
    document = capture.last("Discounts")[found["id"]]
    assert plain(document) | found == plain(document)
    assert document["found_in"] == {"object": holder, "id": found[holder]}


async def test_a_discount_without_an_id_that_was_taken_off_is_read_nowhere(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    customer = world.create("customer", event=False)["id"]
    discount = world.discount(customer, world.create("coupon", event=False)["id"], event=False)["id"]
    capture = await Capture(server, ["Discounts"], config=PINNED).backfill(pause=10)
    world.delete("discount", discount)
    assert await capture.catch_up() == []
    assert "carries no object" not in caplog.text


IDLESS: Final = [row for row in STREAMS if row.EVENT_TYPES and not row.SINGLE]
SHOWN_BY: Final = [row for row in IDLESS if any(embedding.named_by for embedding in row.EMBEDDINGS.values())]


def test_the_rows_whose_objects_once_had_no_id_are_found_through_what_they_name() -> None:
    """`SINCE_VERSION` says from when on an object has an id of its own."""
    for row in IDLESS:
        kind = KINDS[HELD[row.NAME].kind]
        had_none = row.SINCE_VERSION > OLD and kind.path == ""
        assert had_none == (row in SHOWN_BY), row.NAME


async def test_the_lines_of_a_deleted_invoice_are_deleted_by_the_ids_that_they_have_today(
    world: World, server: StripeServer
) -> None:
    invoice = world.create("invoice", lines=3, event=False)["id"]
    world.create("invoice", lines=2, event=False)
    capture = await Capture(server, ["InvoiceLineItems"], config=PINNED).backfill()
    assert len(capture.last("InvoiceLineItems")) == 5
    world.clock.advance(10)
    world.delete("invoice", invoice)
    await capture.catch_up()
    assert sorted(capture.last("InvoiceLineItems")) == sorted(ids(world.list_all("line_item")))


# Fields


def needed(row: type[BaseStripeObject]) -> set[str]:
    """The fields that a row's objects are read by."""
    return {
        "id",
        "object",
        *(name for name in ("account", "customer", "fee", "source") if f"{{{name}}}" in row.RETRIEVE),
    }


@pytest.mark.parametrize("row", rows(REREAD))
async def test_of_an_object_only_what_it_is_read_by_has_to_be_in_its_event(
    world: World, server: StripeServer, row: type[BaseStripeObject]
) -> None:
    kind, account = HELD[row.NAME].kind, account_of(world, row)
    found = world.create(kind, account, event=False)
    capture = await Capture(server, [row.NAME], connected=account is not None, config=PINNED).backfill(
        pause=10
    )
    changed = world.update(kind, found["id"], account, event=False, metadata={"changed": "once"})
    event_type = next(each for each, op in row.EVENT_TYPES.items() if op != "d")
    little = {name: found[name] for name in needed(row) if name in found}
    world.announce(event_type, little, account, api_version=OLD)
    documents = {each["id"]: each for each in await capture.catch_up()}
    assert plain(documents[found["id"]]) | without_secrets(changed) == plain(documents[found["id"]])


OF_PARENTS: Final = [row for row in STREAMS if row.PARENT_EVENT_TYPES and not row.UNTIL_VERSION]


@pytest.mark.parametrize("row", rows(OF_PARENTS))
async def test_of_a_parent_only_its_id_has_to_be_in_its_event(
    world: World, server: StripeServer, row: type[BaseStripeObject]
) -> None:
    assert row.PARENT is not None
    child = KINDS[HELD[row.NAME].kind]
    made = world.create(child.name, event=False)["id"]
    parent = world.table(child.name).by_id[made].parent
    assert parent is not None
    assert child.parent is not None
    capture = await Capture(server, [row.NAME], config=PINNED).backfill()
    before = len(capture.documents)
    world.clock.advance(10)
    # Of what says that there are none, nothing is left either.
    world.announce(row.PARENT_EVENT_TYPES[0], {"id": parent, "object": child.parent.kind}, api_version=OLD)
    await capture.catch_up()
    assert made in {document["id"] for _, document in capture.documents[before:]}
