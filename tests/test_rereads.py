"""Objects that are read again because an event's object will not do, and what is captured where Stripe
refuses to show them; deletions, and events that carry nothing."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from typing import Any, Final

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe import Fault, StripeServer, World
from sandbox.stripe.kinds import KINDS
from source_stripe_native.events.resolutions import in_order
from source_stripe_native.models import STREAMS, BaseStripeObject
from tests.capture import UNLIMITED, Capture
from tests.conftest import NOW
from tests.test_documents import logged
from tests.test_streams import HELD, ONE_BY_ONE, one_of_each, rows

REREAD: Final = [
    each for each in ONE_BY_ONE if each.EVENT_TYPES and each.RETRIEVE and HELD[each.NAME].scope != "platform"
]
LASTING: Final = [
    (400, None, "A source must be attached to a customer to be used as a `payment_method`"),
    (
        403,
        None,
        "You cannot perform this request as you do not have Platform Controls for the Stripe Dashboard",
    ),
    (402, None, "Not without a payment"),
    (404, "other", "Unrecognized request URL"),
]


SHAPES: Final = one_of_each(
    REREAD,
    lambda row: (
        row.RETRIEVE,
        row.PARENT is None,
        *map(bool, (row.NESTED, row.EXPANSIONS, row.EMBEDDINGS, row.RELATED_EVENTS, row.TOLERATED)),
        HELD[row.NAME].scope,
    ),
)
"""A stream for each way in which an object can be read again."""


def account_of(world: World, stream: type[BaseStripeObject]) -> str | None:
    return world.connect()["id"] if HELD[stream.NAME].scope == "connected" else None


BY_ID: Final = replace(UNLIMITED, least_listed=1000)
"""Objects are read again by their ids, however many there are."""


# Refused for good


@pytest.mark.parametrize(("status", "code", "message"), LASTING)
@pytest.mark.parametrize("stream", rows(SHAPES))
async def test_an_object_that_stripe_refuses_to_show_is_captured_as_its_event_has_it(
    world: World,
    server: StripeServer,
    caplog: pytest.LogCaptureFixture,
    stream: type[BaseStripeObject],
    status: int,
    code: str | None,
    message: str,
) -> None:
    account = account_of(world, stream)
    kind = HELD[stream.NAME].kind
    id = world.create(kind, account, event=False)["id"]
    capture = await Capture(server, [stream.NAME], connected=account is not None).backfill(pause=10)
    event_type = next(each for each, op in stream.EVENT_TYPES.items() if op == "u")
    world.tell(event_type, kind, id, account, api_version="2022-11-15")
    server.faults.set(Fault(f"*/{id}", status=status, code=code, message=message))
    documents = {each["id"]: each for each in await capture.catch_up()}
    assert documents[id]["_meta"]["op"] == "u"
    assert len(logged(caplog, "Stripe refuses to show a changed object")) == 1
    assert not logged(caplog, "This should not happen: ")


async def test_a_changed_parent_whose_children_are_refused_has_those_that_its_event_shows(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    capture = await Capture(server, ["InvoiceLineItems"]).backfill()
    invoice = world.create("invoice", lines=12)
    server.faults.set(Fault("/v1/invoices/*/lines", status=403, message="Not for you"))
    shown = {each["id"] for each in invoice["lines"]["data"]}
    assert {each["id"] for each in await capture.catch_up()} == shown
    assert len(logged(caplog, "Stripe refuses to list the children of a changed object")) == 1


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_what_only_an_event_shows_keeps_the_time_of_its_creation(
    world: World, server: StripeServer, is_deleted: bool
) -> None:
    """Items of invoices have it under another name."""
    invoice = world.create("invoice", event=False)["id"]
    item = world.create("invoiceitem", event=False, invoice=invoice)
    capture = await Capture(server, ["InvoiceItems"]).backfill(pause=500)
    server.faults.set(Fault("/v1/invoiceitems/*", status=403, message="Not for you"))
    if is_deleted:
        world.delete("invoiceitem", item["id"])
    else:
        world.tell("invoiceitem.updated", "invoiceitem", item["id"])
    (document,) = await capture.catch_up()
    assert document["created"] == item["date"]


async def test_of_many_objects_that_stripe_refuses_to_show_one_line_at_info_tells(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [world.create("charge", event=False)["id"] for _ in range(3)]
    capture = await Capture(server, ["Charges"], level=logging.DEBUG).backfill()
    for each in ids:
        world.tell("charge.updated", "charge", each, api_version="2022-11-15")
    server.faults.set(Fault("/v1/charges/*", status=403, message="Not for you"))
    assert {each["id"] for each in await capture.catch_up()} == {*ids}
    told = logged(caplog, "Stripe refuses to show a changed object")
    assert Counter(each.levelno for each in told) == {logging.INFO: 1, logging.DEBUG: 2}
    (first,) = [each for each in told if each.levelno == logging.INFO]
    assert first.message.endswith("Others of the stream are told at debug")
    assert all(any(id in str(each.args) for each in told) for id in ids)


# Deletions


def deletions() -> list[Any]:
    return [
        pytest.param(stream, event_type, id=f"{stream.NAME}-{event_type}")
        for stream in REREAD
        for event_type, op in stream.EVENT_TYPES.items()
        if op == "d"
    ]


@pytest.mark.parametrize(("stream", "event_type"), deletions())
@pytest.mark.parametrize("is_bare", [False, True])
async def test_a_deletion_is_a_tombstone_that_satisfies_the_schema_whatever_its_event_carries(
    world: World, server: StripeServer, stream: type[BaseStripeObject], event_type: str, is_bare: bool
) -> None:
    account = account_of(world, stream)
    kind = HELD[stream.NAME].kind
    gone = world.create(kind, account, event=False)
    capture = await Capture(server, [stream.NAME], connected=account is not None).backfill(pause=10)
    world.delete(kind, gone["id"], account, event=False)
    carried = {"id": gone["id"], "object": gone["object"], "deleted": True} if is_bare else gone
    world.announce(event_type, carried, account)
    documents = {each["id"]: each for each in await capture.catch_up()}
    document = documents[gone["id"]]
    assert document["_meta"]["op"] == "d"
    assert gone["id"] not in capture.last(stream.NAME)
    jsonschema_rs.validate(stream.model_json_schema(), document)


# Odd events


@pytest.mark.parametrize("carried", [None, {}, {"object": "charge"}, {"id": None}, {"id": 7}, "text", []])
@pytest.mark.parametrize("stream", ["Charges", "InvoiceLineItems", "Refunds", "Customers"])
async def test_an_event_without_an_object_is_skipped_with_a_warning_that_names_it(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, stream: str, carried: Any
) -> None:
    capture = await Capture(server, [stream]).backfill()
    row = next(each for each in STREAMS if stream == each.NAME)
    event_type = next(iter(row.EVENT_TYPES or row.PARENT_EVENT_TYPES))
    world.announce(event_type, carried)
    (event,) = [each for each in world.events() if each["type"] == event_type]
    new = world.create(KINDS["invoice"].name if row.PARENT else HELD[stream].kind)
    documents = await capture.catch_up()
    assert documents or not new
    (line,) = logged(caplog, "carries no object with an id")
    assert getattr(line, "fields", None) or event["id"] in str(line.__dict__)


# Side by side


@given(items=st.lists(st.integers(0, 5), max_size=40), at_once=st.integers(1, 6))
def test_results_come_in_order_while_so_many_are_awaited(items: list[int], at_once: int) -> None:
    """An item of zero is ready; any other takes so many seconds."""
    running, most = 0, 0

    async def slow(number: int, seconds: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(seconds / 1000)
        running -= 1
        return number

    async def source() -> AsyncIterator[int | Awaitable[int]]:
        for number, seconds in enumerate(items):
            yield slow(number, seconds) if seconds else number

    async def main() -> list[int]:
        results: AsyncIterator[int] = in_order(source(), at_once)
        return [each async for each in results]

    assert asyncio.run(main()) == list(range(len(items)))
    assert most <= at_once


async def test_rereads_of_one_window_run_side_by_side_in_the_order_of_the_changes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with StripeServer(world, latency=0.02) as server:
        monkeypatch.setenv("STRIPE_API_BASE", server.url)
        ids = [world.create("charge", event=False)["id"] for _ in range(60)]
        capture = await Capture(server, ["Charges"], settings=BY_ID).backfill()
        for id in ids:
            world.clock.advance(1)
            world.tell("charge.updated", "charge", id, api_version="2022-11-15")
        server.journal.clear()
        documents = await capture.catch_up()
        visits = server.journal.visits("/v1/charges/*")
    assert [each["id"] for each in documents] == ids[::-1]
    assert len(visits) == len(ids)
    at_once = [sum(one.started_at <= each.started_at < one.finished_at for one in visits) for each in visits]
    assert max(at_once) > 10


# Through the list


@pytest.mark.parametrize("stream", ["PaymentIntents", "Customers", "Charges"])
async def test_young_objects_are_read_again_through_their_list(
    world: World, server: StripeServer, stream: str
) -> None:
    kind, version = HELD[stream].kind, "2022-11-15"
    row = next(each for each in STREAMS if stream == each.NAME)
    told = next(each for each, op in row.EVENT_TYPES.items() if op == "u")
    old = [world.create(kind, at=NOW - 10_000_000 + each, event=False)["id"] for each in range(4)]
    for number in range(300):  # between the old ones and the young ones
        world.create(kind, at=NOW - 5_000_000 + number, event=False)
    capture = await Capture(server, [stream]).backfill()
    server.journal.clear()
    young = [world.create(kind, at=NOW + 1 + each, api_version=version)["id"] for each in range(220)]
    for each in (*old, *young[:50]):
        world.update(kind, each, at=NOW + 300, event=False, metadata={"edit": "1"})
        world.tell(told, kind, each, at=NOW + 300, api_version=version)
    world.clock.advance(300)
    documents = {each["id"]: each for each in await capture.catch_up()}
    assert documents.keys() == {*old, *young}
    assert [documents[each]["metadata"] for each in (old[0], young[0])] == [{"edit": "1"}] * 2
    path = KINDS[kind].path
    assert path
    assert sorted(visit.path.rpartition("/")[2] for visit in server.journal.visits(f"{path}/*")) == sorted(
        old
    )
    # As many pages as show young ones, and one that shows that there are no more.
    assert len(server.journal.visits(path)) == 4


async def test_a_refused_list_leaves_its_objects_to_be_read_by_their_ids(
    world: World, server: StripeServer
) -> None:
    capture = await Capture(server, ["Charges"]).backfill()
    ids = {world.create("charge", api_version="2022-11-15")["id"] for _ in range(10)}
    server.faults.set(Fault("/v1/charges", query="created", status=403, message="Not for you"))
    assert {each["id"] for each in await capture.catch_up()} == ids
    assert len(server.journal.visits("/v1/charges/*")) == 10
