"""Parents and children, nested lists, hidden objects, and the events that Stripe makes for each change."""

from random import Random
from typing import Any
from urllib.parse import parse_qsl

import orjson
import pytest

from sandbox.stripe import World, facts
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.routes import Api, Request

NOW = 1_750_000_000
MISSING = "resource_missing"
DOCUMENT = "2026-08-26.dahlia"
"""The version of the facts from Stripe's document: those of the SDK are newer."""


class Told:
    """A world, its API, and the event types that came since one last looked, oldest first."""

    def __init__(self) -> None:
        self.world = World(now=NOW)
        self.api = Api(self.world)
        self._seen = 0

    def get(self, path: str, *query: tuple[str, str], method: str = "GET", **headers: str) -> tuple[int, Any]:
        sent = {"authorization": f"Bearer {self.world.key}"} | {
            k.replace("_", "-"): v for k, v in headers.items()
        }
        answer = self.api.answer(Request(method, path, query, sent))
        return answer.status, orjson.loads(answer.body)

    def ids(self, path: str, *query: tuple[str, str]) -> list[str]:
        status, body = self.get(path, *query)
        assert status == 200, body
        return [item["id"] for item in body["data"]]

    def error(self, path: str, *query: tuple[str, str], **headers: str) -> tuple[int, str]:
        status, body = self.get(path, *query, **headers)
        return status, body["error"]["message"]

    def types(self) -> list[str]:
        events = self.world.events()
        new = events[: len(events) - self._seen][::-1]
        self._seen = len(events)
        return [event["type"] for event in new]


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.mark.parametrize(
    ("kind", "nested"), [(row.name, n) for row in KINDS.values() for n in row.nested if n.shown]
)
def test_nested_list_is_cut_at_ten_and_its_url_lists_all(told: Told, kind: str, nested: Any) -> None:
    many: dict[str, Any] = {nested.field: 12}
    parent = told.world.create(kind, **many)
    account = parent["id"] if kind == "account" else None
    shown = told.world.get(kind, parent["id"])[nested.field]
    assert (len(shown["data"]), shown["has_more"], shown["object"]) == (10, True, "list")
    path, _, query = shown["url"].partition("?")
    pairs = [*parse_qsl(query), ("limit", "100")]
    listed = told.get(path, *pairs)[1]["data"]
    assert len(listed) == 12
    assert listed[:10] == shown["data"]
    oldest = {"account": account} if account else {}
    told.world.update(nested.kinds[0], listed[0]["id"], **oldest, metadata={"a": "1"})
    assert told.world.get(kind, parent["id"])[nested.field]["data"][0] == told.get(path, *pairs)[1]["data"][0]


def test_child_changes_are_told_by_the_event_of_the_child_or_of_its_parent(told: Told) -> None:
    world, types = told.world, told.types
    for kind in ("customer", "product", "price", "subscription", "invoice", "charge", "transfer"):
        world.create(kind)
    world.create("application_fee")
    world.create("setup_intent")
    types()

    card = world.create("card")
    assert types() == ["customer.source.created"]
    assert world.events()[0]["data"]["object"] == card
    line = world.create("line_item", amount=7)
    assert types() == ["invoice.updated"]
    assert world.events()[0]["data"]["object"] == world.get("invoice", line["invoice"])
    item = world.create("subscription_item")
    world.delete("subscription_item", item["id"])
    assert types() == ["customer.subscription.updated"] * 2
    world.create("customer_balance_transaction", amount=-500)
    assert types() == ["customer.updated"]
    assert world.get("customer", card["customer"])["balance"] == -500
    refund = world.create("refund")
    assert types() == ["refund.created", "charge.refunded"]
    world.update("refund", refund["id"], metadata={"a": "1"})
    assert types() == ["refund.updated", "charge.refund.updated"]
    reversal = world.create("transfer_reversal")
    assert types() == ["transfer.reversed"]
    world.update("transfer_reversal", reversal["id"], metadata={"a": "1"})
    assert types() == []
    fee_refund = world.create("fee_refund")
    assert types() == ["application_fee.refunded"]
    world.update("fee_refund", fee_refund["id"], metadata={"a": "1"})
    assert types() == ["application_fee.refund.updated"]
    world.create("payment_method")
    types()
    world.create("setup_attempt", status="failed")
    world.create("setup_attempt", status="succeeded")
    assert types() == ["setup_intent.setup_failed", "setup_intent.succeeded"]


@pytest.mark.parametrize(
    ("kind", "fields", "changes", "types"),
    [
        ("charge", {"status": "pending"}, {"status": "failed"}, ["charge.failed"]),
        ("charge", {"captured": False}, {"captured": True}, ["charge.captured"]),
        ("charge", {}, {"description": "d"}, ["charge.updated"]),
        ("payment_intent", {}, {"status": "canceled"}, ["payment_intent.canceled"]),
        ("payment_intent", {}, {"metadata": {"a": "1"}}, []),
        ("invoice", {}, {"status": "open"}, ["invoice.finalized", "invoice.updated"]),
        (
            "invoice",
            {"status": "open"},
            {"status": "paid"},
            ["invoice.paid", "invoice.payment_succeeded", "invoice.updated"],
        ),
        ("credit_note", {}, {"status": "void"}, ["credit_note.voided", "credit_note.updated"]),
        ("subscription", {}, {"status": "canceled"}, ["customer.subscription.deleted"]),
        ("subscription", {"status": "paused"}, {"status": "active"}, ["customer.subscription.resumed"]),
        ("subscription", {"status": "past_due"}, {"status": "active"}, ["customer.subscription.updated"]),
        ("payment_method", {}, {"customer": None}, ["payment_method.detached"]),
        ("review", {}, {"open": False}, ["review.closed"]),
        ("dispute", {}, {"status": "lost"}, ["charge.dispute.closed"]),
        ("payout", {}, {"status": "in_transit"}, ["payout.updated"]),
        (
            "payout",
            {"reconciliation_status": "in_progress"},
            {"reconciliation_status": "completed"},
            ["payout.reconciliation_completed"],
        ),
        ("checkout.session", {}, {"status": "complete"}, ["checkout.session.completed"]),
        ("promotion_code", {}, {"active": False}, ["promotion_code.updated"]),
        ("file_link", {}, {"expired": True}, []),
    ],
)
def test_change_has_its_event(told: Told, kind: str, fields: Any, changes: Any, types: list[str]) -> None:
    id = told.world.create(kind, **fields)["id"]
    told.types()
    told.world.update(kind, id, **changes)
    assert told.types() == types


def test_canceled_subscription_hides_but_exists(told: Told) -> None:
    subscription = told.world.create("subscription", items=2)
    ended = told.world.delete("subscription", subscription["id"])
    assert (ended["status"], ended["ended_at"]) == ("canceled", NOW)
    assert told.ids("/v1/subscriptions") == []
    assert told.ids("/v1/subscriptions", ("status", "active")) == []
    for status in ("all", "canceled", "ended"):
        assert told.ids("/v1/subscriptions", ("status", status)) == [ended["id"]]
    price = ended["items"]["data"][0]["price"]["id"]
    assert told.ids("/v1/subscriptions", ("price", price), ("status", "all")) == [ended["id"]]
    assert len(told.ids("/v1/subscription_items", ("subscription", ended["id"]))) == 2


def test_deleted_customer_leaves_a_stub_and_takes_its_children_along(told: Told) -> None:
    world = told.world
    customer = world.create("customer")["id"]
    world.create("card")
    world.create("customer_balance_transaction")
    method = world.create("payment_method")["id"]
    subscription = world.create("subscription", items=0)["id"]
    told.types()
    world.delete("customer", customer)
    assert sorted(told.types()) == [
        "customer.deleted",
        "customer.source.deleted",
        "customer.subscription.deleted",
        "payment_method.detached",
    ]
    assert world.events()[0]["type"] == "customer.deleted"
    assert told.get(f"/v1/customers/{customer}")[1] == {"id": customer, "object": "customer", "deleted": True}
    assert told.error(f"/v1/customers/{customer}/cards") == (404, f"No such customer: '{customer}'")
    assert world.get("payment_method", method)["customer"] is None
    assert world.get("subscription", subscription)["status"] == "canceled"
    assert world.list_all("customer_balance_transaction") == []


def test_customers_sources_are_one_list_and_one_for_each_object(told: Told) -> None:
    customer = told.world.create("customer")["id"]
    card, bank, source = (told.world.create(kind)["id"] for kind in ("card", "bank_account", "source"))
    path = f"/v1/customers/{customer}"
    assert told.ids(f"{path}/sources") == [source, bank, card]
    assert told.ids(f"{path}/sources", ("object", "card")) == told.ids(f"{path}/cards") == [card]
    assert told.ids(f"{path}/sources", ("starting_after", source), ("limit", "1")) == [bank]
    assert told.get(f"{path}/sources/{bank}")[1]["object"] == "bank_account"
    assert (
        told.get("/v1/customers", ("expand[]", "data.sources"))[1]["data"][0]["sources"]["has_more"] is False
    )
    assert "sources" not in told.get(path)[1]


def test_account_children_belong_to_their_account(told: Told) -> None:
    world = told.world
    first, second = world.connect()["id"], world.connect()["id"]
    person = world.create("person", first)
    card = world.create("external_card", first)["id"]
    assert (person["account"], told.ids(f"/v1/accounts/{first}/persons")) == (first, [person["id"]])
    assert told.ids(f"/v1/accounts/{first}/external_accounts", ("object", "card")) == [card]
    assert told.ids(f"/v1/accounts/{first}/external_accounts", ("object", "bank_account")) == []
    assert told.ids(f"/v1/accounts/{second}/persons") == []
    assert [e["type"] for e in world.events(first)[::-1]] == [
        "person.created",
        "account.external_account.created",
        "account.updated",
    ]
    assert told.error(f"/v1/accounts/{first}/persons", stripe_account=second)[0] == 403
    assert told.get(f"/v1/accounts/{first}/persons", stripe_account=first)[0] == 200
    assert told.error("/v1/accounts/invalid_id/persons") == (404, "No such account: 'invalid_id'")
    stripes = world.connect(controller={"requirement_collection": "stripe"})["id"]
    for account in (stripes, world.platform):
        status, message = told.error(f"/v1/accounts/{account}/persons")
        assert status == 403
        assert "do not have Platform Controls" in message


def test_permanent_errors_of_child_lists(told: Told) -> None:
    world = told.world
    item = world.create("subscription_item")["id"]
    usage = f"/v1/subscription_items/{item}/usage_record_summaries"
    old = "2025-02-24.acacia"
    assert told.error(usage)[0] == 404
    status, message = told.error(usage, stripe_version=old)
    assert status == 400
    assert message.endswith(f"{item} because it is not on the legacy metered billing system")
    metered = world.create("price", recurring={"usage_type": "metered"})
    item = world.create("subscription_item", price=metered)["id"]
    summary = world.create("usage_record_summary", subscription_item=item)["id"]
    status, body = told.get(f"/v1/subscription_items/{item}/usage_record_summaries", stripe_version=old)
    assert [one["id"] for one in body["data"]] == [summary]

    session = world.create("checkout.session")["id"]
    assert len(told.ids(f"/v1/checkout/sessions/{session}/line_items")) == 1
    session = world.create("checkout.session", line_items=0)["id"]
    status, message = told.error(f"/v1/checkout/sessions/{session}/line_items")
    assert status == 404
    assert message.startswith("Could not find line items for this Checkout Session.")

    world.unavailable.add("issuing")
    status, message = told.error("/v1/issuing/transactions")
    assert status == 400
    assert message.startswith("Your account is not set up to use Issuing")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/customers/{}/cards",
        "/v1/customers/{}/payment_methods",
        "/v1/invoices/{}/lines",
        "/v1/credit_notes/{}/lines",
        "/v1/transfers/{}/reversals",
        "/v1/application_fees/{}/refunds",
        "/v1/checkout/sessions/{}/line_items",
        "/v1/setup_attempts?setup_intent={}",
        "/v1/radar/value_list_items?value_list={}",
        "/v1/subscription_items?subscription={}",
    ],
)
def test_children_of_nobody_are_missing(told: Told, path: str) -> None:
    path, _, query = path.format("invalid_id").partition("?")
    status, body = told.get(path, *parse_qsl(query))
    assert (status, body["error"]["code"]) == (404, MISSING)
    assert body["error"]["message"].startswith("No such ")
    assert body["error"]["message"].endswith(": 'invalid_id'")
    if query:
        assert told.error(path) == (400, f"Missing required param: {query.split('=')[0]}.")


def test_lists_hide_what_stripe_hides(told: Told) -> None:
    world = told.world
    opened = world.create("review")["id"]
    world.create("review", open=False)
    assert told.ids("/v1/reviews") == [opened]
    clock = world.create("test_helpers.test_clock")["id"]
    plain, clocked = world.create("customer")["id"], world.create("customer", test_clock=clock)["id"]
    assert told.ids("/v1/customers") == [plain]
    assert told.ids("/v1/customers", ("test_clock", clock)) == [clocked]
    hidden = world.create("subscription", customer=clocked, test_clock=clock)["id"]
    assert told.ids("/v1/subscriptions") == []
    assert told.ids("/v1/subscriptions", ("customer", clocked)) == [hidden]
    loose = world.create("payment_method", customer=None)["id"]
    attached = world.create("payment_method", customer=plain)["id"]
    assert told.ids(f"/v1/customers/{plain}/payment_methods") == [attached]
    assert told.ids("/v1/payment_methods") == [loose]
    assert told.ids("/v1/payment_methods", ("customer", plain)) == [attached]
    assert "payment_method.attached" not in [
        e["type"] for e in world.events() if e["data"]["object"]["id"] == loose
    ]


def test_more_filters(told: Told) -> None:
    world = told.world
    soon, late = (world.create("payout", arrival_date=NOW + n)["id"] for n in (1, 5))
    assert told.ids("/v1/payouts", ("arrival_date[gt]", str(NOW + 1))) == [late]
    assert told.ids("/v1/payouts", ("arrival_date", str(NOW + 1))) == [soon]
    item = world.create("invoiceitem", date=NOW - 50)["id"]
    world.create("invoiceitem", invoice=world.create("invoice")["id"])
    assert told.ids("/v1/invoiceitems", ("pending", "true")) == [item]
    assert told.ids("/v1/invoiceitems", ("created[lt]", str(NOW))) == [item]
    listed = world.create("radar.value_list", list_items=0)["id"]
    world.create("radar.value_list_item", value_list=listed, value="abc")
    assert told.ids("/v1/radar/value_lists", ("contains", "b")) == [listed]
    owner = world.connect()["id"]
    person = world.create("person", owner)["id"]
    world.create("person", owner, relationship={"owner": False})
    assert told.ids(f"/v1/accounts/{owner}/persons", ("relationship[owner]", "true")) == [person]
    later = world.create("subscription_schedule")["id"]
    world.create("subscription_schedule", status="active")
    assert told.ids("/v1/subscription_schedules", ("scheduled", "true")) == [later]


def test_actions_follow_the_flow_of_statuses(told: Told) -> None:
    method = told.world.create("payment_method")
    settings = {"default_payment_method": method["id"]}
    told.world.update("customer", method["customer"], invoice_settings=settings)
    invoice = told.world.create("invoice", customer=method["customer"])["id"]
    assert told.get(f"/v1/invoices/{invoice}/finalize", method="POST")[1]["status"] == "open"
    assert told.get(f"/v1/invoices/{invoice}/pay", method="POST")[1]["amount_remaining"] == 0
    assert told.get(f"/v1/invoices/{invoice}/void", method="POST")[0] == 400
    assert told.get(f"/v1/invoices/{invoice}", method="DELETE")[0] == 400
    draft = told.world.create("invoice")["id"]
    assert told.get(f"/v1/invoices/{draft}", method="DELETE")[1]["deleted"] is True
    assert told.ids("/v1/invoices") == [invoice]
    assert len(told.world.list_all("line_item")) == 1


def test_older_version_shows_older_shapes_and_events_keep_their_own(told: Told) -> None:
    world = told.world
    old, new = "2023-10-16", world.api_version
    subscription = world.create("subscription", api_version=old)
    world.update("subscription", subscription["id"], description="d", api_version=old)
    world.create("product", marketing_features=[{"name": "fast"}])

    def shown(kind: str, version: str) -> Any:
        return told.get(f"/v1/{kind}", stripe_version=version)[1]["data"][0]

    assert shown("subscriptions", new) == world.get("subscription", subscription["id"])
    older = shown("subscriptions", old)
    assert older["current_period_start"] == NOW
    assert "current_period_start" not in older["items"]["data"][0]
    assert shown("products", old)["features"] == shown("products", new)["marketing_features"] != []
    assert shown("products", "2024-04-10") | {"tax_details": None} == shown("products", new)
    for version in (old, new):
        made, updated = (
            told.get("/v1/events", ("type", "customer.subscription.*"), stripe_version=version)[1]["data"]
        )[::-1]
        assert updated["data"]["object"] == older
        assert (updated["api_version"], updated["data"]["previous_attributes"]) == (
            old,
            {"description": None},
        )
        assert "current_period_start" in made["data"]["object"]


NEWER = [row.name for row in KINDS.values() if row.path and facts.added(row.name, DOCUMENT)]
NEWER_LISTS = [row.path for row in KINDS.values() if facts.lacks(row.path, DOCUMENT)]


@pytest.mark.parametrize("kind", NEWER)
def test_a_version_lacks_the_fields_that_are_newer(told: Told, kind: str) -> None:
    fields: dict[str, Any] = dict.fromkeys(facts.added(kind, DOCUMENT))
    found = told.world.create(kind, **fields)
    path = f"{KINDS[kind].path.replace('{account}', told.world.platform)}/{found['id']}"
    for version in ("2024-06-20", DOCUMENT, told.world.api_version):
        status, body = told.get(path, stripe_version=version)
        assert status == 200
        has = facts.added(kind, DOCUMENT) & body.keys()
        assert bool(has) == (version > DOCUMENT), has
    assert facts.added(kind, DOCUMENT) <= body.keys()


@pytest.mark.parametrize("path", NEWER_LISTS)
def test_a_version_lacks_the_lists_that_are_newer(told: Told, path: str) -> None:
    told.world.unavailable.clear()
    query = [("type", "performance")] if path == "/v1/tax/locations" else []
    assert told.get(path, *query, stripe_version=DOCUMENT)[0] == 404
    assert told.get(path, *query)[0] == 200


def test_world_stays_whole_whatever_happens() -> None:
    """After many changes every list agrees with what exists, and every nested list with its children."""
    world, rng = World(5, NOW), Random(5)
    world.connect()
    for _ in range(1500):
        world.random_change(rng)
        world.clock.advance(rng.randrange(3))
    api = Api(world)
    for account in world.accounts:
        for row in KINDS.values():
            table = world.table(row.name, account)
            listed = [entry for entry in table.by_id.values() if entry.listed]
            assert table.order == sorted(listed, key=lambda entry: entry.key)
            for group in table.groups.values():
                assert sum(map(len, group.values())) == len(table.order)
            for entry in table.order:
                home = entry.id if row.name == "account" else account
                for nested in (n for n in row.nested if n.shown):
                    assert entry.data()[nested.field] == world.nested(nested, entry.id, home)
        sent = {"authorization": f"Bearer {world.key}", "stripe-account": account}
        answer = api.answer(Request("GET", "/v1/charges", [("limit", "100")], sent))
        charges = [charge["id"] for charge in orjson.loads(answer.body)["data"]]
        assert charges == [charge["id"] for charge in world.list_all("charge", account)][:100]
