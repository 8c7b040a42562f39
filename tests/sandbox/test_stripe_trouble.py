"""What users have met at Stripe: lasting refusals, late objects, odd answers, and changes of an object that
only another object's event announces."""

import re
from collections.abc import AsyncIterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
import pytest
from yarl import URL

from sandbox.stripe import Fault, StripeServer, World
from sandbox.stripe.odd import ODD
from sandbox.stripe.routes import Api, Request

NOW = 1_750_000_000
REFUSED: dict[str, Any] = {
    "status": 403,
    "type": "invalid_request_error",
    "code": "account_invalid",
    "message": "Revoked.",
}
FREE_TEXT = ("a#b", "team/7", "50%25off", "who?", ".", "..", "two words", "Zoë ✓", "prices", "a+b&c=d")


@pytest.fixture
def world() -> World:
    return World(now=NOW, effects=True)


@pytest.fixture
async def server(world: World) -> AsyncIterator[StripeServer]:
    async with StripeServer(world) as serving:
        yield serving


def ask(world: World, path: str, *query: tuple[str, str], method: str = "GET", **headers: str) -> Any:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    sent["authorization"] = f"Bearer {world.key}"
    answer = Api(world).answer(Request(method, path, query, sent))
    return answer.status, orjson.loads(answer.body)


def ids(world: World, path: str, *query: tuple[str, str], **headers: str) -> list[str]:
    status, body = ask(world, path, *query, **headers)
    assert status == 200, body
    return [each["id"] for each in body["data"]]


def error(world: World, path: str, **headers: str) -> tuple[int, str | None, str]:
    status, body = ask(world, path, **headers)
    return status, body["error"].get("code"), body["error"]["message"]


def types(world: World, account: str | None = None) -> list[str]:
    """The types of the events so far, oldest first."""
    return [event["type"] for event in reversed(world.events(account))]


async def fetch(server: StripeServer, path: str, account: str = "") -> tuple[int, bytes, Any]:
    headers = {"Authorization": f"Bearer {server.world.key}"}
    if account:
        headers["Stripe-Account"] = account
    async with aiohttp.ClientSession(headers=headers) as session, session.get(server.url + path) as answer:
        return answer.status, await answer.read(), answer.headers


# Keys of organizations


def test_an_organizations_key_needs_a_context_and_a_version_and_the_path_to_a_connected_account(
    world: World,
) -> None:
    account, key = world.connect()["id"], world.keys.organization()
    version, platform = world.api_version, world.platform

    def asked(secret: str, **headers: str) -> tuple[int, Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = Api(world).answer(
            Request("GET", "/v1/account", (), sent | {"authorization": f"Bearer {secret}"})
        )
        body = orjson.loads(answer.body)
        return answer.status, body.get("id") or body["error"]["message"].partition(" header")[0]

    assert asked(key) == (400, "Please include the Stripe-Context")
    assert asked(key, stripe_account=platform, stripe_version=version)[0] == 400
    assert asked(key, stripe_context=platform) == (400, "Please include the Stripe-Version")
    assert asked(key, stripe_context=platform, stripe_version=version) == (200, platform)
    assert asked(key, stripe_context=f"{platform}/{account}", stripe_version=version) == (200, account)
    for context in (account, "acct_nobody", f"{platform}/acct_nobody", f"{platform}/{account}/{account}"):
        assert asked(key, stripe_context=context, stripe_version=version)[0] == 403
    # It takes the place of Stripe-Account, with the key of an account too.
    assert asked(world.key, stripe_context=account) == (200, account)
    assert asked(world.key, stripe_context=account, stripe_account=platform) == (200, account)
    assert asked(world.key, stripe_context=f"{platform}/{account}")[0] == 403


# Lasting refusals


async def test_a_refusal_of_one_account_lasts_until_it_is_lifted(world: World, server: StripeServer) -> None:
    one, other = world.connect()["id"], world.connect()["id"]
    first, lasting = Fault(path="/v1/none"), Fault(account=one, **REFUSED)
    server.faults.set(first, lasting)
    for _ in range(50):
        assert (await fetch(server, "/v1/charges", one))[0] == 403
    assert (await fetch(server, f"/v1/accounts/{one}"))[0] == 403
    status, body, _ = await fetch(server, f"/v1/accounts/{one}/persons")
    assert (status, orjson.loads(body)["error"]["code"]) == (403, "account_invalid")
    assert (await fetch(server, "/v1/charges", other))[0] == 200
    assert (await fetch(server, f"/v1/accounts/{other}"))[0] == 200
    assert (await fetch(server, "/v1/accounts"))[0] == 200
    assert server.faults.fired(lasting) == 52
    server.faults.remove(lasting)
    assert (await fetch(server, "/v1/charges", one))[0] == 200
    assert server.faults.fired(first) == 0


async def test_a_refusal_can_be_of_one_endpoint_of_one_account(world: World, server: StripeServer) -> None:
    one = world.connect()["id"]
    server.faults.set(Fault("/v1/charges*", account=one, status=400, message="Not here.", param="charge"))
    status, body, _ = await fetch(server, "/v1/charges/ch_1", one)
    assert (status, orjson.loads(body)["error"]["param"]) == (400, "charge")
    assert (await fetch(server, "/v1/refunds", one))[0] == 200
    assert (await fetch(server, "/v1/charges"))[0] == 200


def test_an_account_that_revoked_the_platform_is_listed_and_refuses_everything(world: World) -> None:
    account = world.connect()["id"]
    world.revoked.add(account)
    assert ids(world, "/v1/accounts") == [account]
    refusals = [
        error(world, "/v1/events", stripe_account=account),
        error(world, "/v1/account", stripe_account=account),
        error(world, f"/v1/accounts/{account}"),
        error(world, f"/v1/accounts/{account}/persons"),
        error(world, f"/v1/accounts/{account}/external_accounts/ba_1"),
    ]
    assert {(status, code) for status, code, _ in refusals} == {(403, "account_invalid")}
    message = rf"The provided key 'sk_test_\*+0000' does not have access to account '{account}' "
    assert all(re.match(message, text) for _, _, text in refusals)
    assert all(text.endswith("Application access may have been revoked.") for _, _, text in refusals)
    world.revoked.clear()
    assert ask(world, f"/v1/accounts/{account}/persons")[0] == 200


def test_a_product_can_be_missing_in_one_account(world: World) -> None:
    account = world.connect()["id"]
    world.unavailable.add((account, "issuing"))
    status, _, message = error(world, "/v1/issuing/transactions", stripe_account=account)
    assert (status, message.partition(". ")[0]) == (400, "Your account is not set up to use Issuing")
    assert ids(world, "/v1/issuing/transactions") == []
    assert ids(world, "/v1/charges", stripe_account=account) == []


def test_an_account_can_keep_its_persons_from_the_platform(world: World) -> None:
    account = world.connect()["id"]
    person = world.create("person", account)["id"]
    card = world.create("external_card", account)["id"]
    world.barred.add(account)
    for path in ("persons", f"persons/{person}", "external_accounts", f"external_accounts/{card}"):
        status, _, message = error(world, f"/v1/accounts/{account}/{path}")
        assert status == 403
        assert "you do not have Platform Controls" in message
    assert ask(world, f"/v1/accounts/{account}")[0] == 200
    world.barred.discard(account)
    assert ids(world, f"/v1/accounts/{account}/persons") == [person]


def test_a_legacy_source_is_a_payment_method_while_it_is_attached(world: World) -> None:
    source = world.create("payment_method", id="src_1Legacy", type="card")["id"]
    assert ask(world, f"/v1/payment_methods/{source}")[0] == 200
    world.delete("payment_method", source)
    message = "A source must be attached to a customer to be used as a `payment_method`"
    assert error(world, f"/v1/payment_methods/{source}") == (400, None, message)
    method = world.create("payment_method")["id"]
    world.delete("payment_method", method)
    assert ask(world, f"/v1/payment_methods/{method}")[0] == 200


# Late objects


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("file", "/v1/files"),
        ("file_link", "/v1/file_links"),
        ("balance_transaction", "/v1/balance_transactions"),
        ("checkout.session", "/v1/checkout/sessions"),
        ("radar.value_list", "/v1/radar/value_lists"),
        ("account", "/v1/accounts"),
        ("charge", "/v1/charges"),
    ],
)
def test_an_object_can_be_late_in_its_list(world: World, kind: str, path: str) -> None:
    late = world.create(kind, listed_after=30)
    made = world.clock.now()
    world.create(kind)
    assert late["id"] not in ids(world, path)
    assert ask(world, f"{path}/{late['id']}")[0] in (403, 404)
    if kind != "account":
        world.update(kind, late["id"], livemode=False, metadata={"a": "1"})
    world.clock.advance(29)
    assert late["id"] not in ids(world, path)
    world.clock.advance(1)
    assert ids(world, path)[-1] == late["id"]
    assert ids(world, path, ("created[lte]", str(made)))[-1] == late["id"]
    assert ask(world, f"{path}/{late['id']}") == (200, world.get(kind, late["id"]))


def test_a_late_child_shows_up_inside_its_parent_too(world: World) -> None:
    parent = world.create("radar.value_list", list_items=0)["id"]
    child = world.create("radar.value_list_item", value_list=parent, listed_after=60)["id"]
    path = "/v1/radar/value_list_items"

    def shown() -> list[str]:
        return [each["id"] for each in world.get("radar.value_list", parent)["list_items"]["data"]]

    assert ids(world, path, ("value_list", parent)) == shown() == []
    world.clock.advance(60)
    assert ids(world, path, ("value_list", parent)) == shown() == [child]
    gone = world.create("radar.value_list_item", value_list=parent, listed_after=60)["id"]
    world.delete("radar.value_list", parent)
    world.clock.advance(60)
    assert gone not in [each["id"] for each in world.list_all("radar.value_list_item")]


def test_the_event_of_a_late_object_may_come_before_it(world: World) -> None:
    charge = world.create("charge", status="succeeded", listed_after=30)["id"]
    assert ids(world, "/v1/events", ("type", "charge.succeeded")) == [world.events()[0]["id"]]
    assert error(world, f"/v1/charges/{charge}")[:2] == (404, "resource_missing")


# Old versions


def test_lines_share_an_id_in_old_versions() -> None:
    world = World(now=NOW, api_version="2019-11-05")
    invoice = world.create("invoice", lines=12)["id"]
    path = f"/v1/invoices/{invoice}/lines"
    _, page = ask(world, path, ("limit", "100"))
    assert len({line["unique_id"] for line in page["data"]}) == 12
    assert len({line["id"] for line in page["data"]}) == 1
    inner = ask(world, f"/v1/invoices/{invoice}")[1]["lines"]["data"]
    assert inner == page["data"][:10] == world.events()[0]["data"]["object"]["lines"]["data"]
    assert ids(world, path, ("starting_after", page["data"][-1]["id"])) == []
    assert "unique_id" not in ask(world, path, stripe_version="2019-12-03")[1]["data"][0]


@pytest.mark.parametrize(
    ("version", "method", "told"),
    [
        ("2024-09-30.acacia", "card", ["charge.refunded"]),
        ("2024-09-30.acacia", "pix", ["refund.created", "charge.refunded"]),
        ("2024-10-28.acacia", "card", ["refund.created", "charge.refunded"]),
    ],
)
def test_refunds_of_cards_have_no_events_of_their_own_in_old_versions(
    version: str, method: str, told: list[str]
) -> None:
    world = World(now=NOW, api_version=version)
    charge = world.create("charge", event=False)["id"]
    world.create("refund", charge=charge, destination_details={"type": method})
    assert types(world) == told


# Ids as users choose them


@pytest.mark.parametrize("id", FREE_TEXT)
@pytest.mark.parametrize("escaped", [False, True])
async def test_ids_of_free_text_are_found_by_escaped_paths(id: str, escaped: bool) -> None:
    world = World(now=NOW, escaped_urls=escaped)
    for kind in ("customer", "product", "plan", "coupon"):
        world.create(kind, id=id)
    card = world.create("card", customer=id)["id"]
    # A client would take %2E for a dot, and the dot out of the path.
    path = "".join(f"%{byte:02X}" for byte in id.encode())
    key = {"Authorization": f"Bearer {world.key}"}
    async with StripeServer(world) as server, aiohttp.ClientSession(headers=key) as session:

        async def get(path: str) -> Any:
            async with session.get(URL(server.url + path, encoded=True)) as answer:
                return await answer.json()

        for plural in ("customers", "plans", "coupons", "products"):
            assert (await get(f"/v1/{plural}/{path}"))["id"] == id
            assert [each["id"] for each in (await get(f"/v1/{plural}"))["data"]] == [id]
        listed = await get(f"/v1/customers/{path}/cards")
        assert [each["id"] for each in listed["data"]] == [card]
        expanded = await get(f"/v1/customers/{path}?expand[]=sources")
        shown = quote(id, safe="") if escaped else id
        assert expanded["sources"]["url"] == f"/v1/customers/{shown}/sources"
        assert (await get("/v1/prices?product=" + path))["data"] == []


def test_an_empty_list_inside_an_object_escapes_its_parents_id_too() -> None:
    world = World(now=NOW, escaped_urls=True)
    assert world.create("subscription", id="a/b", items=0)["items"]["url"].endswith("subscription=a%2Fb")


# Odd answers


@pytest.mark.parametrize("name", sorted(ODD))
async def test_an_answer_is_odd_once_and_true_again(name: str, world: World, server: StripeServer) -> None:
    world.create("product", name="Tea")
    server.faults.set(Fault("/v1/*", odd=name, times=1))
    path = "/v1/events" if name.startswith("event") else "/v1/products"
    status, odd, _ = await fetch(server, path)
    _, true, _ = await fetch(server, path)
    assert status == 200
    assert odd != true
    (found,) = orjson.loads(true)["data"]
    match name:
        case "surrogate":
            assert rb'"name":"Zo\ud83d"' in odd
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(odd)
        case "bytes":
            with pytest.raises(UnicodeDecodeError):
                odd.decode()
        case "empty":
            assert orjson.loads(odd) | {"data": [found], "has_more": False} == orjson.loads(true)
        case "no id":
            assert orjson.loads(odd)["data"] == [{k: v for k, v in found.items() if k != "id"}]
        case "html":
            assert odd.startswith(b"<!doctype html>")
        case "event of null":
            assert orjson.loads(odd)["data"][0]["data"]["object"] is None
        case "event without id":
            assert "id" not in orjson.loads(odd)["data"][0]["data"]["object"]


@pytest.mark.parametrize("other", sorted(ODD))
async def test_of_two_odd_answers_to_one_request_the_first_is_given(
    other: str, world: World, server: StripeServer
) -> None:
    server.faults.set(Fault("/v1/*", odd="html"), Fault("/v1/*", odd=other))
    status, body, _ = await fetch(server, "/v1/products")
    assert (status, body[:15]) == (200, b"<!doctype html>")


def test_odd_bodies_have_names() -> None:
    with pytest.raises(ValueError, match="no odd body 'upside down'; there are bytes, empty"):
        Fault(odd="upside down")


def test_an_event_can_carry_what_is_no_object(world: World) -> None:
    world.announce("charge.updated", None)
    world.announce("charge.updated", {"object": "charge"}, visible_after=10)
    assert [event["data"]["object"] for event in world.events()] == [{"object": "charge"}, None]
    assert len(ids(world, "/v1/events")) == 1


async def test_a_date_can_be_wrong_once_or_for_ever(world: World, server: StripeServer) -> None:
    async def date() -> float:
        _, _, headers = await fetch(server, "/v1/prices")
        return parsedate_to_datetime(headers["Date"]).timestamp() - NOW

    server.faults.set(Fault(date=-3600, times=1))
    assert [await date(), await date()] == [-3600, 0]
    server.faults.set(Fault(date=86_400))
    assert [await date(), await date()] == [86_400, 86_400]


# What only another object's event announces


def test_a_dispute_marks_its_charge(world: World) -> None:
    charge = world.create("charge", event=False)["id"]
    dispute = world.open_dispute(charge)["id"]
    assert world.get("charge", charge)["disputed"] is True
    world.update("dispute", dispute, status="under_review")
    world.update("dispute", dispute, status="won")
    assert world.get("charge", charge)["disputed"] is True
    assert {each.rpartition(".")[0] for each in types(world)} == {"charge.dispute"}


def test_a_review_names_itself_in_charge_and_intent(world: World) -> None:
    charge, intent = (world.create(kind, event=False)["id"] for kind in ("charge", "payment_intent"))
    review = world.open_review(charge, payment_intent=intent)["id"]
    world.update("review", review, open=False)
    assert world.get("charge", charge)["review"] == world.get("payment_intent", intent)["review"] == review
    assert types(world) == ["review.opened", "review.closed"]


def test_a_discount_changes_its_customer_its_subscription_and_its_coupon(world: World) -> None:
    customer = world.create("customer", event=False)["id"]
    subscription = world.create("subscription", customer=customer, event=False)["id"]
    coupons = [world.create("coupon", event=False)["id"] for _ in range(2)]
    before = len(world.events())
    own = world.discount(customer, coupons[0])
    assert world.get("customer", customer)["discount"] == own
    assert world.get("subscription", subscription)["discounts"] == []
    inner = world.discount(customer, coupons[0], subscription)
    assert world.get("subscription", subscription)["discounts"] == [inner["id"]]
    assert world.get("customer", customer)["discount"] == own
    assert world.get("coupon", coupons[0])["times_redeemed"] == 2
    other = world.discount(customer, coupons[1])
    assert world.get("customer", customer)["discount"] == other
    assert other["source"]["coupon"] == coupons[1]
    for each in (own, inner):
        world.delete("discount", each["id"])
    assert world.get("customer", customer)["discount"] is None
    assert world.get("subscription", subscription)["discounts"] == []
    assert world.get("coupon", coupons[0])["times_redeemed"] == 2
    verbs = ("created", "created", "updated", "deleted", "deleted")
    assert types(world)[before:] == [f"customer.discount.{verb}" for verb in verbs]


def test_discounts_made_along_with_their_holder_are_announced(world: World) -> None:
    coupon = world.create("coupon", event=False)["id"]
    subscription = world.create("subscription", discounts=2)
    assert world.get("coupon", coupon)["times_redeemed"] == 2
    assert len(subscription["discounts"]) == 2
    told = [each for each in types(world) if each.startswith("customer.discount.")]
    assert told == ["customer.discount.created"] * 2
    assert "customer.subscription.updated" not in types(world)


def test_a_discount_without_events_changes_no_coupon(world: World) -> None:
    coupon = world.create("coupon", event=False)["id"]
    invoice = world.create("invoice", discounts=1)
    assert len(invoice["discounts"]) == 1
    assert world.get("coupon", coupon)["times_redeemed"] == 0
    own = world.discount(invoice["customer"], coupon)
    assert own["id"] not in invoice["discounts"]
    assert world.get("customer", invoice["customer"])["discount"] == own


def test_an_effect_and_a_late_appearance_keep_what_is_only_shown_when_expanded(world: World) -> None:
    customer = world.create("customer", event=False)["id"]
    options = {"eur": {"amount_off": 400}}
    coupon = world.create("coupon", currency_options=options, event=False, listed_after=10)["id"]
    world.discount(customer, coupon)
    world.clock.advance(10)
    _, shown = ask(world, f"/v1/coupons/{coupon}", ("expand[]", "currency_options"))
    assert (shown["currency_options"], shown["times_redeemed"]) == (options, 1)


def test_a_tax_id_is_in_its_customer_when_expanded(world: World) -> None:
    customer = world.create("customer", event=False)["id"]
    tax_id = world.create("tax_id", customer=customer)["id"]
    changed = world.update("tax_id", tax_id, verification={"status": "verified"})
    _, shown = ask(world, f"/v1/customers/{customer}", ("expand[]", "tax_ids"))
    assert shown["tax_ids"]["data"] == [changed]
    assert ask(world, f"/v1/customers/{customer}/tax_ids/{tax_id}")[1] == changed
    world.delete("tax_id", tax_id)
    assert types(world) == [f"customer.tax_id.{verb}" for verb in ("created", "updated", "deleted")]


def test_credit_notes_take_off_their_invoice(world: World) -> None:
    invoice = world.create("invoice", lines=2, event=False)
    world.update("invoice", invoice["id"], status="open", event=False)
    note = world.create("credit_note", invoice=invoice["id"], lines=2)
    after = world.get("invoice", invoice["id"])
    assert after["pre_payment_credit_notes_amount"] == note["amount"] > 0
    assert after["amount_due"] == max(invoice["total"] - note["amount"], 0)
    world.update("credit_note", note["id"], status="void")
    assert world.get("invoice", invoice["id"])["pre_payment_credit_notes_amount"] == 0
    world.update("invoice", invoice["id"], status="paid", event=False)
    late = world.create("credit_note", invoice=invoice["id"])
    assert world.get("invoice", invoice["id"])["post_payment_credit_notes_amount"] == late["amount"]
    assert {each.partition(".")[0] for each in types(world)} == {"credit_note"}


def test_an_invoice_takes_the_pending_items_and_lets_go_of_them(world: World) -> None:
    customer, stranger = (world.create("customer", event=False)["id"] for _ in range(2))
    pending = world.create("invoiceitem", customer=customer, event=False)["id"]
    other = world.create("invoiceitem", customer=stranger, event=False)["id"]
    invoice = world.create("invoice", customer=customer)
    assert types(world) == ["invoice.created"]
    assert world.get("invoiceitem", pending)["invoice"] == invoice["id"]
    assert world.get("invoiceitem", other)["invoice"] is None
    assert ids(world, "/v1/invoiceitems", ("invoice", invoice["id"])) == [pending]
    lines = world.events()[0]["data"]["object"]["lines"]["data"]
    assert lines[0]["parent"]["invoice_item_details"]["invoice_item"] == pending
    assert invoice["total"] == sum(line["amount"] for line in lines)
    own = world.create("invoiceitem", customer=customer, invoice=invoice["id"], event=False)["id"]
    world.delete("invoice", invoice["id"])
    assert world.get("invoiceitem", pending)["invoice"] is None
    assert own not in [each["id"] for each in world.list_all("invoiceitem")]
    assert sorted(types(world)) == ["invoice.created", "invoice.deleted", "invoiceitem.deleted"]


def test_items_put_on_an_existing_invoice_change_the_invoice(world: World) -> None:
    invoice = world.create("invoice", event=False)
    item = world.create("invoiceitem", customer=invoice["customer"], event=False)["id"]
    after = world.pull_items(invoice["id"])
    assert world.get("invoiceitem", item)["invoice"] == invoice["id"]
    assert len(after["lines"]["data"]) == 2
    assert types(world)[-1:] == ["invoice.updated"]


def test_an_external_account_is_announced_by_its_own_events(world: World) -> None:
    account = world.connect()["id"]
    card = world.create("external_card", account)["id"]
    assert [each["id"] for each in world.get("account", account)["external_accounts"]["data"]] == [card]
    assert types(world, account) == ["account.external_account.created"]


def test_without_effects_a_change_is_its_own_objects_alone() -> None:
    world = World(now=NOW)
    charge = world.create("charge")["id"]
    world.create("dispute", charge=charge)
    assert world.get("charge", charge)["disputed"] is False
    assert world.open_dispute(charge)["charge"] == charge
    assert world.get("charge", charge)["disputed"] is True
    assert world.effects is False


# Deletions


def test_a_deleted_customer_leaves_a_stub_and_an_event_that_has_all_of_it(world: World) -> None:
    customer = world.create("customer", event=False)
    world.create("card", customer=customer["id"], event=False)
    world.delete("customer", customer["id"])
    stub = {"id": customer["id"], "object": "customer", "deleted": True}
    assert ask(world, f"/v1/customers/{customer['id']}") == (200, stub)
    assert ids(world, "/v1/customers") == []
    assert error(world, f"/v1/customers/{customer['id']}/cards")[:2] == (404, "resource_missing")
    deleted = next(event for event in world.events() if event["type"] == "customer.deleted")
    assert deleted["data"]["object"] == customer


def test_a_deleted_invoice_item_is_gone(world: World) -> None:
    item = world.create("invoiceitem", event=False)
    stub = {"id": item["id"], "object": "invoiceitem", "deleted": True}
    assert ask(world, f"/v1/invoiceitems/{item['id']}", method="DELETE") == (200, stub)
    assert error(world, f"/v1/invoiceitems/{item['id']}")[:2] == (404, "resource_missing")
    assert world.events()[0]["data"]["object"] == item
