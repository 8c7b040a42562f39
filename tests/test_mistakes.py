"""Mistakes that captures of Stripe have been seen to make, and that no law of another file is about. Each has
a test that fails where it is made."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from logging import Logger
from typing import Any, Final

import orjson
import pytest
from estuary_cdk.capture.common import LogCursor, PageCursor

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from sandbox.stripe.routes import Api, Request, Response
from source_stripe_native.api import fetch_incremental
from source_stripe_native.models import EndpointConfig, ValueListItems
from source_stripe_native.priority_capture import PriorityQueueConfig, open_binding_with_priority_queue
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.state.shapes import initial_state
from source_stripe_native.stripe.account_directory import own_account_id
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import UNLIMITED, Capture, Json, plain
from tests.cdk_task import binding, on_virtual_time, running_capture
from tests.conftest import NOW
from tests.soak import hurried
from tests.test_documents import until_paused

DAY: Final = 86_400
LAG: Final = int(DEFAULTS.lag.total_seconds())
LOG: Final = logging.getLogger("mistakes")
CONTROLLED: Final = {"type": "application"}


def ids(found: list[Json]) -> set[str]:
    return {each["id"] for each in found}


PARENT_GONE: Final[Json] = {
    "status": 404,
    "type": "invalid_request_error",
    "code": "resource_missing",
    "message": "No such thing: 'x'",
}


async def test_a_404_on_the_second_page_of_a_child_list_is_an_error(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    customer = world.create("customer", event=False)["id"]
    for _ in range(150):
        world.create("card", customer=customer, event=False)
    server.faults.set(Fault("/v1/customers/*/cards", query="starting_after", **PARENT_GONE))
    capture = Capture(server, ["Cards"])
    line = await until_paused(capture, caplog)
    assert "Cards of account" in line
    assert "No such thing" in line
    assert capture.binding_state("Cards")["backfill"]

    # On the first page it says that the parent is gone.
    server.faults.set(Fault("/v1/customers/*/cards", **PARENT_GONE))
    await capture.backfill()
    assert capture.last("Cards") == {}


async def test_a_404_on_the_second_page_of_a_changed_parents_children_is_an_error(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    invoice = world.create("invoice", event=False, lines=150)["id"]
    capture = await Capture(server, ["InvoiceLineItems"]).backfill()
    cursor = capture.binding_state("InvoiceLineItems")["inc"]["cursor"]
    world.clock.advance(10)
    world.update("invoice", invoice, description="changed")
    world.clock.advance(120)
    server.faults.set(Fault("/v1/invoices/*/lines", query="starting_after", **PARENT_GONE))
    await until_paused(capture, caplog)
    assert capture.binding_state("InvoiceLineItems")["inc"]["cursor"] == cursor


@pytest.fixture
async def http(server: StripeServer) -> AsyncIterator[StripeSession]:
    async with StripeSession(server.world.key, base=server.url, settings=UNLIMITED) as session:
        await own_account_id(session, LOG)
        yield session


async def test_polling_never_skips_what_appears_during_a_sweep(world: World, http: StripeSession) -> None:
    lists = [world.create("radar.value_list", at=NOW - DAY, list_items=12)["id"] for _ in range(15)]
    for value_list in lists:
        world.create("radar.value_list_item", value_list=value_list, at=NOW - 600)
    cursor: Any = datetime.fromtimestamp(NOW - 3600, tz=UTC)
    seen: set[str] = set()
    appeared: list[Json] = []
    for sweep in range(2):
        async for found in fetch_incremental(ValueListItems, PLATFORM, None, http, LOG, cursor):
            if isinstance(found, datetime):
                assert cursor < found <= datetime.fromtimestamp(world.clock.now() - LAG, tz=UTC)
                cursor = found
                continue
            assert isinstance(found, dict)
            seen.add(found["id"])
            if sweep == 0 and not appeared:
                # First in the list that was just read, then in one that is still to come.
                for value_list in (found["value_list"], *({*lists} - {found["value_list"]})):
                    world.clock.advance(1)
                    appeared.append(world.create("radar.value_list_item", value_list=value_list))
        world.clock.advance(120)
        await http.get(LOG, "/v1/account")
        await http.refresh_clock(LOG)
    assert ids(appeared) <= seen
    assert len(seen) == 2 * len(lists)


@pytest.mark.parametrize(
    ("stream", "kind"),
    [
        ("Charges", "charge"),
        ("PaymentMethods", "payment_method"),
        ("CreditNotesLines", "credit_note"),
        ("Prices", "price"),
    ],
)
async def test_all_of_the_start_dates_second_is_backfilled(
    world: World, server: StripeServer, stream: str, kind: str
) -> None:
    start = NOW - DAY
    world.create("customer", at=start - DAY, event=False)
    for created in (start - 1, *[start] * 120, start + 1):
        world.create(kind, at=created, event=False)
    capture = await Capture(server, [stream], config={"start_date": "2026-05-27T20:26:40.999Z"}).backfill()
    assert len(capture.last(stream)) == 121


@on_virtual_time
async def test_a_backfill_that_had_to_yield_is_not_taken_for_complete() -> None:
    pages, accounts, read = 12, ["acct_1", "acct_2", "acct_3"], list[tuple[str, int]]()

    def fetch_pages(account_id: str) -> Any:
        async def fetch_page(log: Logger, page: PageCursor, cutoff: LogCursor) -> AsyncGenerator[Any, None]:
            number = int(str(page or 0))
            await asyncio.sleep(1)
            read.append((account_id, number))
            yield {"id": f"{account_id} {number}"}
            if number + 1 < pages:
                yield str(number + 1)

        return fetch_page

    async def fetch_changes(log: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
        return
        yield

    async with running_capture() as capture:
        open_binding_with_priority_queue(
            binding(),
            0,
            initial_state(accounts),
            capture.task,
            accounts,
            lambda account_id: fetch_changes,
            fetch_pages,
            config=PriorityQueueConfig(max_subtasks=2, time_slice=timedelta(seconds=5)),
        )
        await asyncio.sleep(3 * pages * len(accounts))
        capture.stopping.event.set()
    assert [account for account, _ in read[:10]] != [accounts[0]] * 10, "they took turns"
    assert sorted(read) == [(account, number) for account in accounts for number in range(pages)]


@pytest.mark.parametrize("path", ["/v1/charges", "/v1/events"])
async def test_what_fails_in_one_account_is_paused_by_its_name(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    accounts = [world.connect()["id"] for _ in range(3)]
    quick = replace(UNLIMITED, shortest_pause=timedelta(milliseconds=50))
    capture = Capture(server, ["Charges"], connected=True, settings=quick)
    final = {"Stripe-Should-Retry": "false"}
    server.faults.set(
        Fault(path, account=accounts[1], status=500, message="Out of the ordinary", headers=final)
    )
    world.clock.advance(120)
    capture.state = {
        "bindingStateV1": {
            "Charges": {
                "inc": {each: {"cursor": "2026-05-28T20:20:00Z"} for each in (PLATFORM, *accounts)},
                "backfill": {each: {"cutoff": "2026-05-28T20:20:00Z"} for each in (PLATFORM, *accounts)},
                "last_initialized": "2026-05-28T20:20:00Z",
            }
        }
    }
    with hurried():
        line = await until_paused(capture, caplog)
    # Events are read for all, by whoever asks for them first.
    assert "Charges: " in line or ("Events: " in line and "events" in path)
    assert f"for account {accounts[1]}: Out of the ordinary" in line


async def test_what_happened_to_a_parent_did_not_happen_to_its_children(
    world: World, server: StripeServer
) -> None:
    world.create("price", recurring={"usage_type": "metered"}, event=False)
    invoice = world.create("invoice", event=False, lines=3)["id"]
    draft = world.create("invoice", event=False, lines=2)["id"]
    note = world.create("credit_note", event=False, lines=2)["id"]
    capture = await Capture(server, ["InvoiceLineItems", "CreditNotesLines"]).backfill(pause=10)
    # Told as deleted, and there all the same.
    world.tell("invoice.deleted", "invoice", invoice)
    world.tell("credit_note.created", "credit_note", note)
    gone = {each["id"] for each in world.list_all("line_item") if each["invoice"] == draft}
    world.delete("invoice", draft)
    changed = await capture.catch_up()
    ops = {document["id"]: document["_meta"]["op"] for document in changed}
    living = ids(world.list_all("line_item")) | ids(world.list_all("credit_note_line_item"))
    assert ops == dict.fromkeys(living, "u") | dict.fromkeys(gone, "d")


@pytest.mark.parametrize("connected", [False, True])
async def test_requests_act_as_accounts_and_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch, connected: bool
) -> None:
    acted_as: set[str | None] = set()
    answer = Api.answer

    def watched(self: Api, request: Request) -> Response:
        acted_as.add(request.headers.get("stripe-account"))
        return answer(self, request)

    monkeypatch.setattr(Api, "answer", watched)
    accounts = [world.connect(controller=CONTROLLED)["id"] for _ in range(2)]
    for account in (PLATFORM, *accounts):
        for kind in ("price", "card", "person", "invoice"):
            if (kind, account) != ("person", PLATFORM):
                world.create(kind, account, event=False)
    streams = ["Prices", "Cards", "Persons", "InvoiceLineItems", "Accounts"]
    async with StripeServer(world) as server:
        monkeypatch.setenv(API_BASE_VARIABLE, server.url)
        capture = await Capture(server, streams, connected=connected).backfill()
        await capture.catch_up()
    assert acted_as == ({None, *accounts} if connected else {None}), "the platform acts as itself"


async def test_fields_that_stripe_adds_to_lists_and_objects_change_nothing(
    world: World, server: StripeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Api.answer

    def newer(self: Api, request: Request) -> Response:
        response = answer(self, request)
        body = orjson.loads(response.body)
        for each in (body, *body.get("data", [])):
            each |= {"total_count": None, "next_page": {"url": "/v2/x"}, "id_": 5}
        return Response(response.status, orjson.dumps(body), response.headers)

    monkeypatch.setattr(Api, "answer", newer)
    world.create("invoice", event=False, lines=12)
    world.create("customer", event=False)
    streams = ["Invoices", "InvoiceLineItems", "Customers", "Accounts", "Events"]
    capture = await Capture(server, streams).backfill()
    assert len(capture.last("InvoiceLineItems")) == 12
    for stream in streams[:-1]:
        for document in capture.last(stream).values():
            assert document["next_page"] == {"url": "/v2/x"}, "documents pass through whole"
    new = world.create("customer")["id"]
    await capture.catch_up()
    assert new in capture.last("Customers")


@pytest.mark.parametrize("stream", ["Subscriptions", "SubscriptionItems"])
async def test_a_canceled_subscription_is_not_deleted(
    world: World, server: StripeServer, stream: str
) -> None:
    before, during = (world.create("subscription", event=False)["id"] for _ in range(2))
    world.delete("subscription", before, event=False)
    capture = await Capture(server, [stream]).backfill()
    assert capture.last(stream)[before]["status"] == "canceled"
    world.clock.advance(10)
    world.delete("subscription", during)
    (changed,) = await capture.catch_up()
    assert (changed["id"], changed["_meta"]["op"], changed["status"]) == (during, "u", "canceled")
    assert {key: plain(each) for key, each in capture.last(stream).items()} == {
        each["id"]: each for each in world.list_all("subscription")
    }


class Undated(Capture):
    """A capture whose config has no start date."""

    @property
    def endpoint_config(self) -> Json:
        return {key: value for key, value in super().endpoint_config.items() if key != "start_date"}


async def test_a_start_date_that_nobody_set_is_told_and_its_cost_is_in_the_config(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    capture = Undated(server, ["Charges"])
    await capture.session(checkpoints=1)
    (line,) = [each for each in caplog.records if "start_date is not set" in each.message]
    assert line.levelno == logging.WARNING
    described = EndpointConfig.model_json_schema()["properties"]["start_date"]["description"]
    assert "30 days" in described
    assert "older objects are missing until they change" in described

    caplog.clear()
    await Capture(server, ["Charges"]).session(checkpoints=1)
    assert "start_date is not set" not in caplog.text
