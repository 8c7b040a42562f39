"""What follows from a write: payments, subscriptions, time under a test clock, and the same request again."""

import re
from random import Random
from typing import Any

import orjson
import pytest

from sandbox.stripe import DEFAULT_KEY, World, facts
from sandbox.stripe.kinds import KINDS, NAMED
from sandbox.stripe.routes import Api, Request
from sandbox.stripe.rules.cards import CARDS
from tests.documented import filled

NOW = 1_780_000_000
DAY = 24 * 3600
Json = dict[str, Any]
VISA = {"payment_method": "pm_card_visa", "invoice_settings[default_payment_method]": "pm_card_visa"}


class Client:
    """Writes to a world as a client does."""

    def __init__(self) -> None:
        self.world = World(now=NOW)
        self.api = Api(self.world)

    def send(self, method: str, path: str, form: Json, **headers: str) -> tuple[int, Any]:
        sent = {"authorization": f"Bearer {self.world.key}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        pairs = [(name, str(value)) for name, value in form.items()]
        query, body = (pairs, []) if method == "GET" else ([], pairs)
        answer = self.api.answer(Request(method, f"/v1/{path}", query, sent, body, "req_of_the_test"))
        return answer.status, orjson.loads(answer.body)

    def post(self, path: str, **form: Any) -> Any:
        return self.ask("POST", path, form)

    def ask(self, method: str, path: str, form: Json) -> Any:
        status, body = self.send(method, path, form)
        assert status == 200, body
        return body

    def get(self, path: str, **query: Any) -> Any:
        return self.ask("GET", path, query)

    def error(self, path: str, **form: Any) -> tuple[int, str]:
        status, body = self.send("POST", path, form)
        return status, body["error"]["message"]

    def told(self, count: int = 100) -> list[str]:
        return [each["type"] for each in self.world.events()[:count]][::-1]

    def pay(self, card: str, **form: Any) -> tuple[int, Any]:
        money = {"amount": 2000, "currency": "usd", "confirm": "true", "payment_method": f"pm_card_{card}"}
        return self.send("POST", "payment_intents", money | form)

    def price(self, amount: int = 1000, interval: str = "month") -> str:
        sold = {"currency": "usd", "unit_amount": amount, "recurring[interval]": interval}
        return str(self.post("prices", **sold, **{"product_data[name]": "Tea"})["id"])

    def subscribe(self, customer: str, **more: Any) -> Json:
        made: Json = self.post(
            "subscriptions", customer=customer, **{"items[0][price]": self.price(), **more}
        )
        return made


@pytest.fixture
def client() -> Client:
    return Client()


# Forms


def value_of(kind: Any, name: str, world: World) -> list[tuple[str, str]]:
    """A parameter of a type, as a form has it."""
    if isinstance(kind, list):
        return value_of(kind[0], f"{name}[0]", world)
    if isinstance(kind, dict):
        if "=" in kind:
            return [(name, kind["="][0])]
        for sign in ("?", "|", "*"):
            if sign in kind:
                inner = kind[sign][0] if sign == "|" else kind[sign]
                return value_of(inner, f"{name}[usd]" if sign == "*" else name, world)
        return [
            pair
            for field, each in kind.items()
            for pair in value_of(each, f"{name}[{field.rstrip('!')}]", world)
        ]
    if kind == "map":
        return [(f"{name}[a]", "b")]
    if kind == "string":
        last = [part for part in re.findall(r"\w+", name) if not part.isdigit()][-1]
        kinds = [each for one in facts.named_after().get(last, ()) for each in NAMED.get(one, ())]
        ids = [world.table(each).order[-1].id for each in kinds if world.table(each).order]
        return [(name, ids[0] if ids else "usd")]
    return [(name, {"boolean": "true", "integer": "5", "number": "5.5", "decimal": "5.5"}[kind])]


def test_every_documented_parameter_is_known_and_its_type_is_taken(client: Client) -> None:
    world = client.world
    world.connect()
    for kind in KINDS.keys() - {"event", "account", "person"}:
        world.create(kind)
    counted = 0
    for (method, shape), form in facts.forms().items():
        if method != "POST":
            continue
        path = filled(shape, world)
        needed = [
            pair
            for name, kind in form.items()
            if name[-1] == "!"
            for pair in value_of(kind, name[:-1], world)
        ]
        for name, kind in form.items():
            given = dict([*needed, *value_of(kind, name.rstrip("!"), world)])
            given.pop("expand[0]", None)
            status, body = client.send("POST", path.removeprefix("v1/"), given)
            counted += 1
            said = "" if status == 200 else body["error"]["message"]
            assert not re.match("Received unknown parameter|Invalid (array|object|integer|boolean)", said), (
                path,
                name,
                said,
            )
    assert counted > 2200


@pytest.mark.parametrize("seed", range(3))
def test_any_documented_form_has_an_answer(client: Client, seed: int) -> None:
    """Whatever else it is: an error of Stripe's, not of ours."""
    world, rng = client.world, Random(seed)
    for kind in sorted(KINDS.keys() - {"event", "account", "person"}):
        world.create(kind)
    client.price()
    forms = [(shape, form) for (method, shape), form in facts.forms().items() if method == "POST"]
    for _ in range(300):
        shape, form = rng.choice(forms)
        path = filled(shape, world).removeprefix("v1/")
        names = [name for name in form if name[-1] == "!" or rng.random() < 0.2]
        pairs = [pair for name in names for pair in value_of(form[name], name.rstrip("!"), world)]
        odd = {name: rng.choice((value, value, value, "", "1", "false")) for name, value in pairs}
        assert client.send("POST", path, odd)[0] in (200, 400, 402, 403, 404)


@pytest.mark.parametrize(
    ("path", "form", "says"),
    [
        ("subscriptions", {"items[0][pric]": "x"}, "Received unknown parameter: items[0][pric]"),
        ("checkout/sessions", {"line_items[0][quantity]": "two"}, "Invalid integer: two"),
        ("accounts", {"type": "strange"}, "Invalid type: must be one of custom, express or standard"),
        ("coupons", {"percent_off": "ten"}, "Invalid integer: ten"),
        ("prices", {"currency": "usd", "unit_amount": 5}, "Missing required param: product."),
        ("payment_intents", {"amount": 5}, "Missing required param: currency."),
        (
            "payment_intents",
            {"amount": 5, "currency": "usd", "payment_method": "pm_card_x"},
            "No such payment_method",
        ),
    ],
)
def test_a_form_is_refused_by_name_and_type(client: Client, path: str, form: Json, says: str) -> None:
    status, said = client.error(path, **form)
    assert (status, said.startswith(says)) == (400, True), said


def test_metadata_loses_a_key_or_all(client: Client) -> None:
    made = client.post("customers", **{"metadata[a]": 1, "metadata[b]": 2, "metadata[c]": ""})
    assert made["metadata"] == {"a": "1", "b": "2"}
    assert client.post(f"customers/{made['id']}", **{"metadata[a]": ""})["metadata"] == {"b": "2"}
    assert client.post(f"customers/{made['id']}", metadata="")["metadata"] == {}


def test_amounts_are_decimal_and_fixed(client: Client) -> None:
    sold = {"currency": "USD", "product_data[name]": "Tea"}
    half = client.post("prices", **sold, unit_amount_decimal="10.5")
    assert (half["unit_amount"], half["unit_amount_decimal"], half["currency"]) == (None, "10.5", "usd")
    assert client.post("prices", **sold, unit_amount_decimal="10")["unit_amount"] == 10
    assert client.error(f"prices/{half['id']}", unit_amount=7) == (
        400,
        "Received unknown parameter: unit_amount",
    )
    assert client.post("coupons", percent_off="25.5")["percent_off"] == 25.5
    tiers = {
        "tiers[0][up_to]": 10,
        "tiers[0][unit_amount]": 9,
        "tiers[1][up_to]": "inf",
        "tiers[1][flat_amount]": 5,
    }
    tiered = client.post("prices", **sold, billing_scheme="tiered", tiers_mode="volume", **tiers)
    assert tiered["unit_amount"] is None


def test_the_same_idempotency_key_gives_the_first_answer(client: Client) -> None:
    one, again = (client.send("POST", "customers", {"name": "A"}, idempotency_key="k") for _ in range(2))
    assert one == again
    assert len(client.world.list_all("customer")) == 1
    assert (
        client.send("POST", "customers", {"name": "B"}, idempotency_key="k")[1]["error"]["type"]
        == "idempotency_error"
    )
    (event,) = client.world.events()
    assert event["request"] == {"id": "req_of_the_test", "idempotency_key": "k"}
    assert client.send("POST", "customers", {"nme": "B"}, idempotency_key="l")[0] == 400
    assert client.send("POST", "customers", {"name": "B"}, idempotency_key="l")[0] == 200


@pytest.mark.parametrize(
    ("version", "status"),
    [("2026-11-18.endive", 200), ("2026-10-28.endive", 200), ("2026-10-29.endive", 400)],
)
def test_published_versions_are_accepted(client: Client, version: str, status: int) -> None:
    assert client.send("GET", "customers", {}, stripe_version=version)[0] == status


def test_keys_have_the_form_of_stripes() -> None:
    world = World()
    for key in (DEFAULT_KEY, World(livemode=True).key, world.restrict(["charge"])):
        assert re.fullmatch(r"[rs]k_(test|live)_[A-Za-z0-9]{24}", key)


# Payments


@pytest.mark.parametrize("name", sorted(CARDS))
def test_what_follows_from_a_test_card(client: Client, name: str) -> None:
    card = CARDS[name]
    status, body = client.pay(name)
    intent = body if status == 200 else body["error"]["payment_intent"]
    charges = client.get("charges", payment_intent=intent["id"])["data"]
    if card.asks:
        assert (intent["status"], charges) == ("requires_action", [])
        return
    (charge,) = charges
    if card.declines:
        assert (status, body["error"]["code"], body["error"]["decline_code"]) == (
            402,
            card.code,
            card.declines,
        )
        assert (charge["status"], charge["balance_transaction"]) == ("failed", None)
        assert intent["status"] == "requires_payment_method"
        return
    assert (intent["status"], charge["paid"]) == ("succeeded", True)
    assert charge["payment_method_details"]["card"]["last4"] == card.number[-4:]
    booked = client.get(f"balance_transactions/{charge['balance_transaction']}")
    assert booked["net"] == 2000 - 88
    disputes = client.get("disputes", charge=charge["id"])["data"]
    assert charge["disputed"] == bool(card.disputed) == bool(disputes)
    assert [len(each["balance_transactions"]) for each in disputes] == [0 if card.inquired else 1] * len(
        disputes
    )
    assert bool(client.get("radar/early_fraud_warnings", charge=charge["id"])["data"]) == bool(card.warned)
    if not card.disputed:
        assert client.post("refunds", charge=charge["id"])["status"] == card.refunds
        assert client.get(f"charges/{charge['id']}")["refunded"]
    assert client.error("refunds", charge=charge["id"], amount=3000)[0] == 400


def test_a_payment_is_told_in_stripes_order(client: Client) -> None:
    client.pay("visa")
    assert client.told() == ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"]


def test_a_payment_is_captured_or_canceled_later(client: Client) -> None:
    _, held = client.pay("visa", capture_method="manual")
    assert (held["status"], held["amount_capturable"]) == ("requires_capture", 2000)
    assert (
        client.post(f"payment_intents/{held['id']}/capture", amount_to_capture=500)["amount_received"] == 500
    )
    assert client.error(f"payment_intents/{held['id']}/cancel")[0] == 400
    _, other = client.pay("visa", capture_method="manual")
    assert client.post(f"payment_intents/{other['id']}/cancel")["status"] == "canceled"


def test_a_bank_transfer_pays_what_waits_for_it(client: Client) -> None:
    customer = client.post("customers")["id"]
    options = "payment_method_options[customer_balance]"
    waits = {
        "customer": customer,
        "payment_method_data[type]": "customer_balance",
        "payment_method": "",
        f"{options}[funding_type]": "bank_transfer",
        f"{options}[bank_transfer][type]": "us_bank_transfer",
        "payment_method_types[]": "customer_balance",
    }
    del waits["payment_method"]
    money = {"amount": 2000, "currency": "usd", "confirm": "true"}
    intent = client.post("payment_intents", **money, **waits)["id"]
    path = f"test_helpers/customers/{customer}/fund_cash_balance"
    client.post(path, amount=1500, currency="usd")
    assert client.get(f"payment_intents/{intent}")["status"] == "requires_action"
    client.post(path, amount=700, currency="usd")
    assert client.get(f"payment_intents/{intent}")["status"] == "succeeded"
    assert {"payment_intent.partially_funded", "cash_balance.funds_available"} <= set(client.told())


def test_a_card_that_asks_is_declined_when_nobody_is_there(client: Client) -> None:
    status, body = client.pay("threeDSecure2Required", off_session="true")
    assert (status, body["error"]["code"]) == (402, "authentication_required")
    assert client.world.list_all("balance_transaction") == []


# Billing


def test_a_subscription_is_invoiced_and_paid(client: Client) -> None:
    customer = client.post("customers", **VISA)["id"]
    made = client.subscribe(customer, **{"items[0][quantity]": 2})
    invoice = client.get(f"invoices/{made['latest_invoice']}")
    assert (made["status"], invoice["status"], invoice["amount_paid"]) == ("active", "paid", 2000)
    assert invoice["number"].endswith("-0001")
    (line,) = invoice["lines"]["data"]
    assert line["period"]["end"] - line["period"]["start"] in (28 * DAY, 29 * DAY, 30 * DAY, 31 * DAY)
    assert client.told()[-1] == "customer.subscription.updated"
    poor = client.subscribe(client.post("customers")["id"])
    assert (poor["status"], client.get(f"invoices/{poor['latest_invoice']}")["status"]) == (
        "incomplete",
        "open",
    )


def test_a_credit_is_used_by_the_next_invoice(client: Client) -> None:
    customer = client.post("customers", **VISA)["id"]
    client.post(f"customers/{customer}/balance_transactions", amount=-300, currency="usd")
    invoice = client.get(f"invoices/{client.subscribe(customer)['latest_invoice']}")
    assert (invoice["total"], invoice["amount_paid"]) == (1000, 700)
    assert client.get(f"customers/{customer}")["balance"] == 0


def test_an_upgrade_gives_back_and_bills_the_rest_of_the_period(client: Client) -> None:
    made = client.subscribe(client.post("customers", **VISA)["id"])
    client.world.clock.advance(15 * DAY)
    item = made["items"]["data"][0]["id"]
    change = {
        "items[0][id]": item,
        "items[0][price]": client.price(3000),
        "proration_behavior": "always_invoice",
    }
    after = client.post(f"subscriptions/{made['id']}", **change, **{"expand[]": "latest_invoice"})
    invoice = after["latest_invoice"]
    assert (invoice["billing_reason"], invoice["status"]) == ("subscription_update", "paid")
    back, more = sorted(line["amount"] for line in invoice["lines"]["data"])
    assert back < 0 < more
    assert more == -3 * back


def clocked(client: Client, **more: Any) -> tuple[str, Json]:
    clock = client.post("test_helpers/test_clocks", frozen_time=NOW)["id"]
    customer = client.post("customers", test_clock=clock, **VISA)["id"]
    return clock, client.subscribe(customer, **more)


def advance(client: Client, clock: str, days: int) -> None:
    client.post(f"test_helpers/test_clocks/{clock}/advance", frozen_time=NOW + days * DAY)


def test_a_clock_ends_a_trial_and_renews(client: Client) -> None:
    clock, made = clocked(client, trial_period_days=7)
    assert made["status"] == "trialing"
    advance(client, clock, 80)
    invoices = client.get("invoices", subscription=made["id"])["data"]
    assert [each["amount_paid"] for each in invoices] == [1000, 1000, 1000, 0]
    assert client.get(f"subscriptions/{made['id']}")["status"] == "active"
    told = client.told(500)
    assert "customer.subscription.trial_will_end" in told
    assert told[-1] == "test_helpers.test_clock.ready"
    assert all(each["created"] == NOW for each in client.world.events())


def test_a_clock_retries_a_failed_payment_and_cancels_in_the_end(client: Client) -> None:
    clock, made = clocked(client)
    bad = client.post("payment_methods/pm_card_chargeCustomerFail/attach", customer=made["customer"])["id"]
    client.post(f"customers/{made['customer']}", **{"invoice_settings[default_payment_method]": bad})
    advance(client, clock, 32)
    assert client.get(f"subscriptions/{made['id']}")["status"] == "past_due"
    advance(client, clock, 60)
    ended = client.get(f"subscriptions/{made['id']}")
    assert (ended["status"], ended["cancellation_details"]["reason"]) == ("canceled", "payment_failed")
    assert client.told(500).count("invoice.payment_failed") == 4


def test_a_clock_ends_what_is_canceled_at_the_end_of_its_period(client: Client) -> None:
    clock, made = clocked(client)
    ends = client.post(f"subscriptions/{made['id']}", cancel_at_period_end="true")
    assert ends["cancel_at"] == ends["items"]["data"][0]["current_period_end"]
    advance(client, clock, 40)
    assert client.get(f"subscriptions/{made['id']}")["status"] == "canceled"


def test_an_archived_price_is_shown_as_it_is(client: Client) -> None:
    made = client.subscribe(client.post("customers", **VISA)["id"])
    price = made["items"]["data"][0]["price"]["id"]
    session = client.post(
        "checkout/sessions",
        mode="subscription",
        **{"line_items[0][price]": price, "line_items[0][quantity]": 1},
    )
    client.post(f"prices/{price}", active="false")
    assert client.get(f"subscriptions/{made['id']}")["items"]["data"][0]["price"]["active"] is False
    (line,) = client.get(f"checkout/sessions/{session['id']}/line_items")["data"]
    assert line["price"]["active"] is False


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ('name:"ann one"', ["Ann One"]),
        ('name~"ann"', ["Ann Two", "Ann One"]),
        ('metadata["n"]:"2"', ["Ann Two"]),
        ('-name~"ann"', ["Ben"]),
        ('name:"ben" OR metadata["n"]:"1"', ["Ben", "Ann One"]),
        ('name~"ann" AND created>1', ["Ann Two", "Ann One"]),
        ("name~", None),
        ('name:"a" AND name:"b" OR name:"c"', None),
    ],
)
def test_search_finds_by_fields_and_metadata(client: Client, query: str, found: list[str] | None) -> None:
    for name, number in (("Ann One", 1), ("Ann Two", 2), ("Ben", 3)):
        client.post("customers", name=name, **{"metadata[n]": number})
    status, body = client.send("GET", "customers/search", {"query": query})
    assert status == (400 if found is None else 200)
    if found is not None:
        assert [each["name"] for each in body["data"]] == found


def test_older_versions_show_what_an_invoice_was_paid_with_and_expand_it(client: Client) -> None:
    made = client.subscribe(client.post("customers", **VISA)["id"])
    path = f"invoices/{made['latest_invoice']}"
    for version in ("2022-11-15", "2024-06-20"):
        plain = client.send("GET", path, {}, stripe_version=version)[1]
        assert (plain["subscription"], plain["paid"]) == (made["id"], True)
        asked = {"expand[0]": "charge", "expand[1]": "payment_intent", "expand[2]": "subscription"}
        status, body = client.send("GET", path, asked, stripe_version=version)
        assert (status, body["charge"]["invoice"], body["payment_intent"]["id"]) == (
            200,
            made["latest_invoice"],
            plain["payment_intent"],
        )
        (line,) = body["lines"]["data"]
        assert (line["type"], line["price"]["unit_amount"], line["proration"]) == (
            "subscription",
            1000,
            False,
        )
    assert client.send("GET", path, {"expand[0]": "charge"})[0] == 400
