"""Changes that Stripe reports only by events of other objects: the object itself is read again."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from sandbox.stripe import Fault, StripeServer, World
from sandbox.stripe.kinds import older
from sandbox.stripe.versions import LATEST
from source_stripe_native.models import STREAMS, BaseStripeObject
from source_stripe_native.streams.row import PREVIEW, RelatedEvents
from tests.capture import UNLIMITED, Capture, Json, plain, without_secrets
from tests.documentation import text_of
from tests.test_documents import logged
from tests.test_streams import HELD

OLD: Final = "2019-01-01"
"""An API version before all that a row can name."""
OLD_SHAPE: Final = "2022-08-01"
"""An API version of documents, before each that a row names as the end of what they show."""


def cases(*, lists: bool) -> Iterator[Any]:
    """Every way in which another object's event reports a change: stream, related events, type, place."""
    for stream in STREAMS:
        for related in stream.RELATED_EVENTS:
            for kind in related.types[:1]:  # they differ in their names alone
                for path in related.ids:
                    if bool(related.list_by) == lists:
                        why = "-".join((path, *related.when, *filter(None, [related.shown_before])))
                        yield pytest.param(stream, related, kind, path, id=f"{stream.NAME}-{kind}-{why}")


def carrying(path: str, value: object) -> Json:
    """An object with `value` at a path with dots, and a whole list for each `*`."""
    for name in reversed(path.split(".")):
        value = [value] if name == "*" else {name: value}
        if isinstance(value, dict) and isinstance(value.get("data"), list):
            value |= {"has_more": False}
    return {"id": "other_1", "object": "other"} | (value if isinstance(value, dict) else {})


def version(related: RelatedEvents, world: World) -> str:
    return OLD if related.before_version else world.api_version


def pinned(related: RelatedEvents) -> Json:
    """The config under which the documents show what changes."""
    return {"advanced": {"api_version": OLD_SHAPE}} if related.shown_before else {}


def telling(related: RelatedEvents) -> Json:
    """The values that the other object has when it tells of a change."""
    return {name: values[0] for name, values in related.when.items()}


@pytest.mark.parametrize(("stream", "related", "kind", "path"), list(cases(lists=False)))
async def test_an_object_is_read_again_after_an_event_that_names_it(
    world: World,
    server: StripeServer,
    stream: type[BaseStripeObject],
    related: RelatedEvents,
    kind: str,
    path: str,
) -> None:
    held = HELD[stream.NAME].kind
    own = held == "account"
    id = world.platform if own else world.create(held, event=False)["id"]
    capture = Capture(server, [stream.NAME], config=pinned(related))
    if kind in PREVIEW:
        capture.config["advanced"] = {"api_version": "2026-09-30.preview"}
    await capture.backfill(pause=10)
    changed = world.update(held, id, event=False, metadata={"changed": "quietly"})
    world.announce(kind, carrying(path, id) | telling(related), api_version=version(related, world))
    (document,) = await capture.catch_up()
    assert plain(document) | without_secrets(changed) == plain(document)
    assert document["_meta"]["op"] == "u"


@pytest.mark.parametrize(("stream", "related", "kind", "path"), list(cases(lists=True)))
async def test_the_objects_that_belong_to_a_changed_object_are_listed_again(
    world: World,
    server: StripeServer,
    stream: type[BaseStripeObject],
    related: RelatedEvents,
    kind: str,
    path: str,
) -> None:
    held = HELD[stream.NAME].kind
    owner, another = (world.create(related.list_by, event=False)["id"] for _ in range(2))
    elsewhere = world.create(held, event=False, **{related.list_by: another})["id"]
    capture = await Capture(server, [stream.NAME]).backfill(pause=10)
    new = world.create(held, event=False, **{related.list_by: owner})
    shown = related.shown_by[0] if related.shown_by else "note"
    found = carrying(shown, new["id"]) | carrying(path, owner) | {"id": owner}
    if related.when_cut:
        found["lines"]["has_more"] = True
    world.announce(kind, found, api_version=version(related, world))
    documents = {each["id"]: plain(each) for each in await capture.catch_up()}
    assert documents[new["id"]] | new == documents[new["id"]]
    # The first overlap of a polled list captures what it finds once more.
    assert stream.POLLS or elsewhere not in documents


async def test_a_list_of_which_stripe_refuses_a_later_page_holds_up_no_other_change(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    barred, other = (world.create("invoice", event=False)["id"] for _ in range(2))
    capture = await Capture(server, ["InvoicePayments"], settings=replace(UNLIMITED, page_size=2)).backfill(
        pause=10
    )
    for _ in range(3):
        world.create("invoice_payment", event=False, invoice=barred)
    new = world.create("invoice_payment", event=False, invoice=other)["id"]
    rest = f"invoice={barred}&limit=2&starting_after"
    server.faults.set(Fault("/v1/invoice_payments", query=rest, status=403, message="Not for you"))
    for invoice in (barred, other):
        world.announce("invoice.voided", {"id": invoice, "object": "invoice"})
    assert new in {each["id"] for each in await capture.catch_up()}
    assert len(logged(caplog, "Stripe refuses to show a changed object")) == 1


async def test_an_invoice_that_shows_no_items_costs_no_request(world: World, server: StripeServer) -> None:
    capture = await Capture(server, ["InvoiceItems"]).backfill()
    server.journal.clear()
    world.announce("invoice.created", carrying("lines.data.*.invoice_item", None) | {"id": "in_1"})
    assert await capture.catch_up() == []
    assert server.journal.visits("/v1/invoiceitems", invoice="in_1") == []
    cut = {"id": "in_2", "object": "invoice", "lines": {"data": [], "has_more": True}}
    world.announce("invoice.created", cut)
    await capture.catch_up()
    assert len(server.journal.visits("/v1/invoiceitems", invoice="in_2")) == 1


async def test_a_version_with_events_of_its_own_costs_no_request(world: World, server: StripeServer) -> None:
    charge = world.create("charge", event=False)["id"]
    capture = await Capture(server, ["Refunds"]).backfill()
    server.journal.clear()
    world.tell("charge.refunded", "charge", charge, api_version="2024-10-28.acacia")
    assert await capture.catch_up() == []
    assert server.journal.visits("/v1/refunds", charge=charge) == []


async def test_many_events_of_one_object_read_it_once(world: World, server: StripeServer) -> None:
    charge = world.create("charge", event=False)["id"]
    capture = await Capture(server, ["Charges"]).backfill()
    server.journal.clear()
    for _ in range(5):
        world.announce("charge.dispute.updated", carrying("charge", charge))
        world.clock.advance(1)
    assert len(await capture.catch_up()) == 1
    assert len(server.journal.visits(f"/v1/charges/{charge}")) == 1


async def test_an_own_event_after_it_is_newer_and_costs_no_request(
    world: World, server: StripeServer
) -> None:
    charge = world.create("charge", event=False)["id"]
    capture = await Capture(server, ["Charges"]).backfill()
    server.journal.clear()
    world.announce("charge.dispute.updated", carrying("charge", charge))
    world.clock.advance(1)
    changed = world.update("charge", charge, description="newer")
    assert [plain(each) for each in await capture.catch_up()] == [changed]
    assert server.journal.visits(f"/v1/charges/{charge}") == []


@pytest.mark.parametrize("status", [404, 403, 400])
async def test_a_named_object_that_is_gone_or_barred_is_left_to_its_own_events(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    capture = await Capture(server, ["Charges"]).backfill()
    if status != 404:
        server.faults.set(Fault("/v1/charges/ch_gone", status=status, message="Not for you"))
    world.announce("charge.dispute.created", carrying("charge", "ch_gone"))
    new = world.create("charge")
    assert [plain(each) for each in await capture.catch_up()] == [new]
    assert len(logged(caplog, "Stripe refuses to show a changed object")) == (status != 404)


async def test_an_object_that_was_deleted_before_another_object_named_it_is_a_deletion(
    world: World, server: StripeServer
) -> None:
    invoice = world.create("invoice", event=False)["id"]
    capture = await Capture(server, ["Invoices"]).backfill(pause=5)
    world.update("invoice", invoice, description="older")
    world.clock.advance(5)
    world.delete("invoice", invoice)
    world.clock.advance(5)
    for _ in range(2):
        world.announce("credit_note.updated", carrying("invoice", invoice))
        world.clock.advance(1)
    (document,) = await capture.catch_up()
    assert (document["id"], document["_meta"]["op"]) == (invoice, "d")


async def test_an_object_that_was_changed_before_another_object_named_it_is_captured_once(
    world: World, server: StripeServer
) -> None:
    invoice = world.create("invoice", event=False)["id"]
    capture = await Capture(server, ["Invoices"]).backfill(pause=5)
    changed = world.update("invoice", invoice, description="newer")
    world.clock.advance(5)
    world.announce("credit_note.updated", carrying("invoice", invoice))
    assert [plain(each) for each in await capture.catch_up()] == [changed]


@pytest.mark.parametrize("item_first", [False, True])
async def test_an_item_that_is_put_on_an_invoice_in_the_second_of_its_creation_names_the_invoice(
    world: World, server: StripeServer, item_first: bool
) -> None:
    capture = await Capture(server, ["InvoiceItems"]).backfill()
    invoice = world.create("invoice", event=False)["id"]
    item = world.create("invoiceitem", event=False, invoice=invoice)
    found = carrying("lines.data.*.invoice_item", item["id"]) | {"id": invoice}
    events = [("invoiceitem.created", item | {"invoice": None}), ("invoice.created", found)]
    for event_type, data in events if item_first else events[::-1]:
        world.announce(event_type, data)
    (document,) = await capture.catch_up()
    assert document["invoice"] == invoice


# A refund that comes to nothing


@pytest.mark.parametrize(
    "api_version", ["2015-02-18", "2022-08-01", "2023-10-16", "2024-10-28.acacia", LATEST]
)
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("refund.failed", "failed"),
        ("refund.updated", "failed"),
        ("refund.updated", "canceled"),
        ("charge.refund.updated", "failed"),
        ("charge.refund.updated", "canceled"),
    ],
)
async def test_a_refund_that_comes_to_nothing_changes_its_charge_under_every_version(
    world: World, server: StripeServer, api_version: str, kind: str, status: str
) -> None:
    charge = world.create("charge", event=False, refunded=True, amount=500, amount_refunded=500)["id"]
    refund = world.create("refund", event=False, charge=charge)
    capture = await Capture(server, ["Charges"]).backfill(pause=10)
    changed = world.update("charge", charge, event=False, refunded=False, amount_refunded=0)
    world.announce(kind, refund | {"status": status}, api_version=api_version)
    assert [plain(document) for document in await capture.catch_up()] == [changed]


@pytest.mark.parametrize(("version", "is_read"), [(OLD_SHAPE, True), (LATEST, False)])
async def test_a_refund_that_goes_on_changes_a_charge_that_shows_its_refunds(
    world: World, server: StripeServer, version: str, is_read: bool
) -> None:
    """The version of the documents counts, and not that of the event."""
    charge = world.create("charge", event=False)["id"]
    refund = world.create("refund", event=False, charge=charge)
    capture = await Capture(server, ["Charges"], config={"advanced": {"api_version": version}}).backfill()
    world.announce("refund.updated", refund | {"status": "succeeded"})
    assert bool(await capture.catch_up()) == is_read


def test_each_condition_of_a_row_has_one_reason() -> None:
    """A version of the event says that the object had no event of its own, a version of the documents that
    they show what changes, a value that this change concerns the object whatever the version."""
    for related in (each for stream in STREAMS for each in stream.RELATED_EVENTS):
        assert sum(map(bool, (related.before_version, related.shown_before, related.when))) <= 1, related
        if related.before_version:
            assert related.list_by, f"{related} is of objects that had no event of their own"


def test_what_older_versions_show_of_another_object_is_followed_or_a_page_says_that_it_is_not() -> None:
    _, _, section = text_of("docs/freshness.md").partition("## Changes that nothing reports")
    lines = section.partition("\n## ")[0].splitlines()
    for row in STREAMS:
        kind = HELD[row.NAME].kind
        for field in older.shown(kind, OLD):
            types = [each for related in row.RELATED_EVENTS for each in related.types]
            is_followed = any(field.removesuffix("s") in each.split(".") for each in types)
            is_said = any(f"`{field}`" in line and f"inside a {kind}" in line for line in lines)
            assert is_followed != is_said, field


# Pending invoice items


async def test_an_edit_of_a_pending_item_is_found_within_the_hour(world: World, server: StripeServer) -> None:
    pending, billed, left = (world.create("invoiceitem", event=False)["id"] for _ in range(3))
    invoice = world.create("invoice", lines=0, event=False)["id"]
    world.update("invoiceitem", billed, event=False, invoice=invoice)
    capture = await Capture(server, ["InvoiceItems"]).backfill(pause=3_600)
    await capture.catch_up()
    for each in (pending, billed):
        world.update("invoiceitem", each, event=False, amount=4200)
    server.journal.clear()
    world.clock.advance(3_600)
    documents = await capture.catch_up()
    amounts = {each["id"]: each["amount"] for each in documents}
    assert amounts[pending] == 4200
    # The first comparison after a start captures all that it reads.
    assert amounts.keys() == {pending, left}
    lists = [each.query for each in server.journal if each.path == "/v1/invoiceitems"]
    assert [each["pending"] for each in lists] == ["true"], "one request, for pending ones alone"


# Events of the public preview


async def test_an_event_of_the_preview_reports_a_change_under_a_preview(
    world: World, server: StripeServer
) -> None:
    quote = world.create("quote", event=False)["id"]
    config: Json = {"advanced": {"api_version": "2026-09-30.preview"}}
    capture = await Capture(server, ["Quotes"], config=config).backfill(pause=10)
    world.update("quote", quote, event=False, metadata={"edit": "stale"})
    world.tell("quote.stale", "quote", quote)
    (document,) = await capture.catch_up()
    assert document["metadata"] == {"edit": "stale"}
    types = [each.query["types[]"] for each in server.journal if each.path == "/v1/events"]
    assert all("quote.stale" in each for each in types)
