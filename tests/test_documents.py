"""What becomes of an object on its way to a document: whole, in one shape, and stamped with whose it is."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from sandbox.stripe.kinds import older
from tests.capture import UNLIMITED, Capture, Json, plain
from tests.conftest import NOW

DAY: Final = 86_400
CONTROLLED: Final = {"type": "application"}

LISTS: Final = [
    ("Invoices", "invoice", "lines", "line_item"),
    ("CreditNotes", "credit_note", "lines", "credit_note_line_item"),
    ("Subscriptions", "subscription", "items", "subscription_item"),
    ("Transfers", "transfer", "reversals", "transfer_reversal"),
    ("ApplicationFees", "application_fee", "refunds", "fee_refund"),
    ("ValueLists", "radar.value_list", "list_items", "radar.value_list_item"),
    ("Files", "file", "links", "file_link"),
]
"""Streams, and the lists in their documents."""


def create(world: World, kind: str, field: str, count: int, **options: Any) -> Json:
    """An object with so many children in the list at `field`."""
    many: dict[str, Any] = {field: count}
    return world.create(kind, **many, **options)


async def catch_up(capture: Capture) -> list[Json]:
    before = len(capture.documents)
    capture.server.world.clock.advance(120)
    await capture.session(capture.caught_up)
    return [document for _, document in capture.documents[before:]]


def ids(found: list[Json]) -> list[str]:
    return [each["id"] for each in found]


def logged(caplog: pytest.LogCaptureFixture, text: str) -> list[logging.LogRecord]:
    return [each for each in caplog.records if text in each.message]


async def until_paused(
    capture: Capture, caplog: pytest.LogCaptureFixture, at_checkpoint: Callable[[], bool] = lambda: False
) -> str:
    """Runs a session until something is paused. Returns what the log says of it."""
    session = asyncio.create_task(capture.session(at_checkpoint))
    while not logged(caplog, "is paused."):
        await asyncio.sleep(0.01)
        assert not session.done()
    session.cancel()
    await asyncio.wait([session])
    return "\n".join(record.message for record in logged(caplog, "is paused."))


# Lists inside documents


@pytest.mark.parametrize(("stream", "kind", "field", "child"), LISTS)
async def test_a_list_that_stripe_cut_is_completed_in_backfills_and_in_changes(
    world: World, server: StripeServer, stream: str, kind: str, field: str, child: str
) -> None:
    old = create(world, kind, field, 25, event=False)
    assert old[field]["has_more"]
    capture = await Capture(server, [stream]).backfill(pause=10)
    new = create(world, kind, field, 110)
    await capture.catch_up()
    captured = capture.last(stream)
    for parent, count in ((old, 25), (new, 110)):
        assert not captured[parent["id"]][field]["has_more"]
        assert captured[parent["id"]][field]["url"] == parent[field]["url"]
        found = ids(captured[parent["id"]][field]["data"])
        assert len(found) == len(set(found)) == count
    every = [each for parent in captured.values() for each in ids(parent[field]["data"])]
    assert sorted(every) == sorted(ids(world.list_all(child)))


async def test_a_list_that_is_whole_costs_nothing(world: World, server: StripeServer) -> None:
    create(world, "invoice", "lines", 10, event=False)
    await Capture(server, ["Invoices"]).backfill()
    assert server.journal.visits("/v1/invoices/*") == []


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/v1/invoices/in_1/lines",
        "//example.com/v1/invoices/in_1/lines",
        "http://[",
        "/v2/core/accounts",
        "/v1/../v2/core/accounts",
        "/v1/invoices/../../v2/core/accounts",
        "/v1/./invoices",
        "/v1/%2e%2e/v2/core/accounts",
        "/v1/invoices\\..\\x",
        "/v1/invoices/in_1/lines\r\nX: y",
        "/v10/invoices",
        "/v1/",
        "v1/invoices",
        "",
        None,
    ],
)
async def test_a_url_that_leads_anywhere_else_is_never_followed(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, url: str | None
) -> None:
    lines = {"object": "list", "data": [{"id": "il_1"}], "has_more": True, "url": url}
    world.create("invoice", lines=lines, event=False)
    capture = await Capture(server, ["Invoices"]).backfill()
    (document,) = capture.last("Invoices").values()
    assert document["lines"] == lines, "it stays as it was"
    assert len(logged(caplog, "no usable url")) == 1
    assert server.journal.by_path().keys() <= {"/v1/account", "/v1/invoices", "/v1/events"}


@pytest.mark.parametrize(("count", "kept"), [(200, 200), (201, 200), (450, 200), (99, 99)])
async def test_a_list_without_an_end_in_sight_is_kept_up_to_a_bound_with_a_line(
    world: World,
    server: StripeServer,
    caplog: pytest.LogCaptureFixture,
    count: int,
    kept: int,
) -> None:
    create(world, "invoice", "lines", count, event=False)
    capture = await Capture(server, ["Invoices"], settings=replace(UNLIMITED, max_nested=150)).backfill()
    (document,) = capture.last("Invoices").values()
    assert len(document["lines"]["data"]) == kept
    assert document["lines"]["has_more"] == (count > kept)
    assert len(logged(caplog, "too long to be completed")) == (count > kept)


async def test_a_list_stays_cut_where_its_parent_is_gone_by_now(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    capture = await Capture(server, ["Invoices"]).backfill(pause=10)
    draft = create(world, "invoice", "lines", 25)
    world.clock.advance(90)
    # After the window that is read next.
    world.delete("invoice", draft["id"])
    await capture.session(lambda: len(capture.documents) > 0)
    (document,) = capture.last("Invoices").values()
    assert plain(document) == draft
    assert len(logged(caplog, "the object is gone or barred by now")) == 1
    await capture.catch_up()
    assert capture.last("Invoices") == {}


async def test_nothing_more_is_read_of_what_was_deleted(world: World, server: StripeServer) -> None:
    draft = create(world, "invoice", "lines", 25, event=False)
    capture = await Capture(server, ["Invoices"]).backfill(pause=10)
    world.delete("invoice", draft["id"])
    server.journal.clear()
    (document,) = await capture.catch_up()
    assert (document["id"], document["_meta"]["op"]) == (draft["id"], "d")
    assert server.journal.visits("/v1/invoices/*") == []


async def test_any_other_error_of_a_list_pauses_the_stream(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    create(world, "invoice", "lines", 150, event=False)
    server.faults.set(Fault("/v1/invoices/*/lines", status=404, code="other", message="Not now", after=1))
    capture = Capture(server, ["Invoices"])
    line = await until_paused(capture, caplog)
    assert "Invoices of account" in line
    assert "Not now" in line
    assert capture.documents == []


# One shape


@pytest.mark.parametrize(
    ("stream", "kind", "path"),
    [
        ("Charges", "charge", "/v1/charges/{id}"),
        ("Invoices", "invoice", "/v1/invoices/{id}"),
        ("Cards", "card", "/v1/customers/{customer}/cards/{id}"),
        ("PaymentMethods", "payment_method", "/v1/payment_methods/{id}"),
        ("ApplicationFeesRefunds", "fee_refund", "/v1/application_fees/{fee}/refunds/{id}"),
        ("Authorizations", "issuing.authorization", "/v1/issuing/authorizations/{id}"),
    ],
)
async def test_an_object_told_in_another_version_is_read_again_in_the_pinned_one(
    world: World, server: StripeServer, stream: str, kind: str, path: str
) -> None:
    old, same = (world.create(kind, event=False) for _ in range(2))
    capture = await Capture(server, [stream]).backfill(pause=10)
    types = {"fee_refund": "application_fee.refund.updated", "card": "customer.source.updated"}
    types |= {"issuing.authorization": "issuing_authorization.updated"}
    told = types.get(kind, f"{kind}.updated")
    world.tell(told, kind, old["id"], api_version="2022-11-15")
    world.tell(told, kind, same["id"])
    server.journal.clear()
    await capture.catch_up()
    single = [each for each in server.journal if each.path.endswith((old["id"], same["id"]))]
    assert [each.path for each in single] == [path.format_map(old)]
    assert {key: plain(each) for key, each in capture.last(stream).items()} == {
        each["id"]: world.get(kind, each["id"]) for each in (old, same)
    }


async def test_documents_have_the_shape_of_the_version_that_is_pinned(
    world: World, server: StripeServer
) -> None:
    pinned = "2024-06-20"
    subscription = world.create("subscription", event=False)["id"]
    capture = await Capture(
        server, ["Subscriptions"], config={"advanced": {"api_version": pinned}}
    ).backfill()
    first = plain(capture.last("Subscriptions")[subscription])
    world.clock.advance(10)
    world.update("subscription", subscription, description="told in the account's own version")
    await capture.catch_up()
    second = plain(capture.last("Subscriptions")[subscription])
    assert second == older.rendered("subscription", world.get("subscription", subscription), pinned)
    assert first.keys() == second.keys()
    assert "current_period_end" in second


async def test_a_deletion_is_taken_as_it_was_told(world: World, server: StripeServer) -> None:
    coupon = world.create("coupon", event=False)["id"]
    capture = await Capture(server, ["Coupons"]).backfill(pause=10)
    world.delete("coupon", coupon, api_version="2022-11-15")
    (document,) = await capture.catch_up()
    assert (document["id"], document["_meta"]["op"]) == (coupon, "d")
    assert server.journal.visits("/v1/coupons/*") == []


async def test_an_object_that_cannot_be_read_by_itself_is_taken_as_it_was_told(
    world: World, server: StripeServer
) -> None:
    card = world.create("card", event=False)["id"]
    capture = await Capture(server, ["Cards"]).backfill(pause=10)
    world.update("card", card, customer=None, name="Nobody's", api_version="2022-11-15")
    (document,) = await capture.catch_up()
    assert (document["id"], document["name"], document["_meta"]["op"]) == (card, "Nobody's", "u")


async def test_an_object_that_is_gone_when_it_is_read_again_is_a_tombstone(
    world: World, server: StripeServer
) -> None:
    coupon = world.create("coupon", event=False)["id"]
    capture = await Capture(server, ["Coupons"]).backfill(pause=10)
    world.update("coupon", coupon, name="changed", api_version="2022-11-15")
    world.clock.advance(90)
    # After the window that is read next.
    world.delete("coupon", coupon)
    before = len(capture.documents)
    await capture.session(lambda: len(capture.documents) > before)
    assert capture.last("Coupons") == {}
    await capture.catch_up()
    assert capture.last("Coupons") == {}


# Objects that cannot be captured


async def test_a_child_shown_without_an_id_is_one_error(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    lines = {"object": "list", "data": [{"object": "line_item"}], "has_more": False, "url": "/v1/x"}
    world.create("invoice", lines=lines, event=False)
    line = await until_paused(Capture(server, ["InvoiceLineItems"]), caplog)
    assert "InvoiceLineItems: an object has no text as its id, but None" in line


# What is added


@pytest.mark.parametrize(
    ("stream", "parent", "field", "told"),
    [
        ("CheckoutSessionsLine", "checkout.session", "checkout_session", "checkout.session.completed"),
        ("CreditNotesLines", "credit_note", "credit_note", "credit_note.updated"),
    ],
)
async def test_children_that_do_not_name_their_parent_are_given_its_id(
    world: World, server: StripeServer, stream: str, parent: str, field: str, told: str
) -> None:
    nested = {"checkout.session": "line_items", "credit_note": "lines"}[parent]
    few, many, later = (
        create(world, parent, nested, count, at=NOW - DAY, event=False)["id"] for count in (2, 15, 3)
    )
    capture = await Capture(server, [stream]).backfill(pause=10)
    world.tell(told, parent, later)
    assert {each[field] for each in await capture.catch_up()} == {later}
    owners = [each[field] for each in capture.last(stream).values()]
    assert {each: owners.count(each) for each in set(owners)} == {few: 2, many: 15, later: 3}


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        ("Charges", "charge"),
        ("Cards", "card"),
        ("InvoiceLineItems", "line_item"),
        ("SetupAttempts", "setup_attempt"),
        ("ExternalAccountCards", "external_card"),
        ("ValueListItems", "radar.value_list_item"),
    ],
)
async def test_documents_are_stamped_with_the_account_that_they_are_of(
    world: World, server: StripeServer, stream: str, kind: str
) -> None:
    accounts = [world.connect(controller=CONTROLLED)["id"] for _ in range(2)]
    if kind != "external_card":
        accounts.append(PLATFORM)
    capture = Capture(server, [stream], connected=True)
    for account in accounts:
        world.create(kind, account, event=False)
    await capture.backfill(pause=10)
    for account in accounts:
        world.create(kind, account)
    await capture.catch_up()
    stamped = {document["id"]: document["account_id"] for _, document in capture.documents}
    assert stamped == {each: account for account in accounts for each in ids(world.list_all(kind, account))}
    assert set(stamped.values()) == set(accounts)


async def test_an_account_that_does_not_tell_when_it_was_created_is_asked_for_its_children(
    world: World, server: StripeServer
) -> None:
    for _ in range(2):
        world.create("person", world.connect(controller=CONTROLLED)["id"], event=False)
    capture = await Capture(server, ["Persons"]).backfill()
    assert len(capture.last("Persons")) == 2
    for visit in server.journal.visits("/v1/accounts"):
        assert not any(name.startswith("created") for name in visit.query), "bounds would leave it out"
