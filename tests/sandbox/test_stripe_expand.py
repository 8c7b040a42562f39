"""Expansions: what a response lacks unless a request asks for it, and what an id becomes."""

from collections.abc import Iterator
from random import Random
from typing import Any, Final

import orjson
import pytest

from sandbox.stripe import World, v2
from sandbox.stripe.expand import expanded
from sandbox.stripe.facts import places
from sandbox.stripe.keys import permission_of
from sandbox.stripe.kind import Kind
from sandbox.stripe.kinds import HELD, KINDS
from sandbox.stripe.routes import Api, Request
from tests.sandbox.test_stripe_spec import validator
from tools.facts import stripe_facts

NOW: Final = 1_750_000_000
Json = dict[str, Any]

NOT_IN_THE_SCHEMAS: Final = {"apps.secret.payload", "customer.invoice_credit_balance"}
"""Fields that Stripe's reference calls expandable. Its document does not: they are texts and numbers."""
EXPANDED: Final = [row for row in KINDS.values() if row.includes and not row.path.startswith(v2.PATH)]
LISTED: Final = [row for row in EXPANDED if "L" in row.ops and not any(each.required for each in row.filters)]


class Asked:
    """A world and its API."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.api = Api(world)

    def get(self, path: str, *expand: str, key: str = "", version: str = "", **query: str) -> tuple[int, Any]:
        sent = {"authorization": f"Bearer {key or self.world.key}"}
        if version:
            sent["stripe-version"] = version
        pairs = [*query.items(), *(("expand[]", each) for each in expand)]
        answer = self.api.answer(Request("GET", path, pairs, sent))
        return answer.status, orjson.loads(answer.body)

    def one(self, path: str, *expand: str, **more: str) -> Json:
        status, body = self.get(path, *expand, **more)
        assert status == 200, body
        found: Json = body["data"][0] if body.get("object") == "list" else body
        return found

    def error(self, path: str, *expand: str, **more: str) -> tuple[int, Json]:
        status, body = self.get(path, *expand, **more)
        return status, body["error"]


@pytest.fixture
def asked() -> Asked:
    return Asked(World(now=NOW))


def at(data: Any, path: str) -> list[Any]:
    """Every value at a path, through arrays and, at a `*`, through each name."""
    name, _, rest = path.partition(".")
    if isinstance(data, list):
        return [found for each in data for found in at(each, path)]
    if not isinstance(data, dict):
        return []
    values = list(data.values()) if name == "*" else [data[name]] if name in data else []
    return [found for value in values for found in at(value, rest)] if rest else values


STORED: Final = {
    row.name: [
        path
        for path in row.includes
        if path not in [nested.field for nested in row.nested]
        and not any(other.startswith(f"{path}.") for other in row.includes)
    ]
    for row in KINDS.values()
}
"""The includable fields of each kind that are no lists of children and have none inside."""


def fields() -> Iterator[Any]:
    for row in EXPANDED:
        for path in row.includes:
            yield pytest.param(row, path, id=f"{row.name}-{path}")


def varied(*kinds: str, changes: int = 60) -> World:
    """A world with objects of all variants of some kinds."""
    world, rng = World(now=NOW), Random(7)
    for kind in kinds:
        row = KINDS[kind]
        for variant in row.variants:
            world.create(kind, **variant)
        for nested in row.nested:
            world.create(nested.kinds[0])
        for _ in range(changes):
            world.random_change(rng, [kind])
    return world


def concrete(path: str) -> str:
    return path.replace("*", "eur")


def faults(data: Json) -> list[str]:
    return [
        f"{'/'.join(map(str, error.instance_path))}: {error.message}"
        for error in validator(data["object"]).iter_errors(data)
    ]


# The places are Stripe's


@pytest.mark.parametrize(
    ("name", "path", "ids", "inline"),
    [
        ("charge", "customer", "customer", ""),
        ("charge", "refunds.data", "", "refund"),
        ("charge", "transfer_data.destination", "account", ""),
        ("subscription", "items.data", "", "subscription_item"),
        ("subscription_item", "price", "", "price"),
        ("customer", "default_source", "bank_account card source", ""),
        ("payment_intent", "amount_details.tip.amount", "", ""),
    ],
)
def test_an_object_has_ids_and_objects_where_stripes_document_says(
    name: str, path: str, ids: str, inline: str
) -> None:
    place, found = tuple(path.split(".")), places(name)
    assert found.ids.get(place, ()) == tuple(ids.split())
    assert found.inline.get(place, ()) == tuple(inline.split())


@pytest.mark.parametrize(("row", "path"), list(fields()))
def test_includable_fields_are_expandable_and_optional_in_stripes_document(row: Kind, path: str) -> None:
    schemas = stripe_facts()["schemas"]
    containers = [schemas[row.object_name]]
    *way, last = path.split(".")

    def inside(schema: Json, name: str) -> list[Json]:
        found = schema.get("properties", {}).get(name, {}) if name != "*" else schema["additionalProperties"]
        found = found.get("items", found)
        each = [found, *found.get("anyOf", [])]
        return [schemas[one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in each]

    for name in way:
        containers = [each for container in containers for each in inside(container, name)]
    containers = [each for each in containers if last in each.get("properties", {})]
    assert containers
    for container in containers:
        assert last not in container.get("required", [])
        if f"{row.name}.{path}" not in NOT_IN_THE_SCHEMAS:
            assert last in container["x-expandableFields"]


# Fields that are absent unless they are expanded


@pytest.mark.parametrize(("row", "path"), list(fields()))
def test_includable_field_is_absent_until_it_is_asked_for(row: Kind, path: str) -> None:
    world = varied(row.name)
    asked, found = Asked(world), 0
    for entry in world.table(row.name).by_id.values():
        assert at(world.get(row.name, entry.id), path) == []
        shown = expanded(world, row.name, entry.id, concrete(path))
        found += len(at(shown, concrete(path)))
        if path in STORED[row.name]:
            assert at(shown, concrete(path)) == at(world.whole(row.name, entry.id), concrete(path))
        assert faults(shown) == []
        if row.path and "R" in row.ops:
            assert asked.one(f"{row.path}/{entry.id}") == world.get(row.name, entry.id)
            assert asked.one(f"{row.path}/{entry.id}", concrete(path)) == shown
    assert found


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in EXPANDED])
def test_all_fields_at_once_agree_with_stripes_schema(row: Kind) -> None:
    world = varied(row.name)
    paths = [concrete(path) for path in row.includes]
    for entry in world.table(row.name).by_id.values():
        whole = expanded(world, row.name, entry.id, *paths)
        assert faults(whole) == []
        for path in STORED[row.name]:
            assert at(whole, concrete(path)) == at(world.whole(row.name, entry.id), concrete(path))


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in LISTED])
def test_lists_expand_as_single_objects_do(row: Kind) -> None:
    world = varied(row.name)
    asked = Asked(world)
    paths = [concrete(path) for path in row.includes]
    parents = world.table(row.parent.kind).by_id if "{" in row.path and row.parent else [""]
    listed = 0
    for parent in parents:
        path = row.path.partition("{")[0] + parent + row.path.partition("}")[2]
        status, body = asked.get(path, *(f"data.{each}" for each in paths), limit="100")
        if status == 200:
            listed += len(body["data"])
            for each in body["data"]:
                assert each == expanded(world, row.name, each["id"], *paths)
    assert listed


def test_events_never_have_an_includable_field() -> None:
    world, rng = World(now=NOW), Random(3)
    for _ in range(1200):
        world.random_change(rng, [row.name for row in EXPANDED])
    carried = 0
    for event in world.events():
        data = event["data"]["object"]
        for row in (row for row in KINDS.values() if row.object_name == data["object"]):
            for path in row.includes:
                carried += 1
                assert at(data, path) == at(event["data"].get("previous_attributes"), path) == []
    assert carried > 1000


def test_a_change_of_a_hidden_field_has_an_event_that_does_not_show_it(asked: Asked) -> None:
    world = asked.world
    customer = world.create("customer")["id"]
    world.update("customer", customer, tax={"ip_address": "192.0.2.1"})
    event = world.events()[0]
    assert (event["type"], event["data"]["object"]) == ("customer.updated", world.get("customer", customer))
    assert event["data"]["previous_attributes"] == {}
    assert asked.one("/v1/customers", "data.tax")["tax"]["ip_address"] == "192.0.2.1"
    world.update("customer", customer, name="Ada")
    assert asked.one("/v1/customers", "data.tax")["tax"]["ip_address"] == "192.0.2.1"


def test_random_worlds_have_what_expansions_find_and_it_is_consistent() -> None:
    world, rng = World(now=NOW), Random(11)
    for name in [*(row.name for row in EXPANDED), *HELD, "discount"]:
        for _ in range(100):
            world.random_change(rng, [name])
    prices = [world.whole("price", each["id"]) for each in world.list_all("price")]
    assert any("tiers" in each for each in prices)
    for price in prices:
        tiered = "tiers" in price
        assert (price["billing_scheme"] == "tiered") == tiered == bool(price["tiers_mode"])
        assert (price["unit_amount"] is None) == tiered
    for row in EXPANDED:
        whole = [world.whole(row.name, each["id"]) for each in world.list_all(row.name)]
        for path in row.includes:
            nested = any(each.field == path for each in row.nested)
            if not nested and not path.endswith(("fleet", "flight", "fuel")):
                assert any(at(each, path) not in ([], [None], [{}]) for each in whole), (row.name, path)
    counts = [len(each["discounts"]) for each in world.list_all("subscription")]
    assert {0, 1, 2} <= set(counts)


def test_currencies_have_their_tiers_only_by_a_path_of_their_own(asked: Asked) -> None:
    tiers: Any = [{"up_to": None, "unit_amount": 5}]
    options: Any = {"eur": {"tiers": tiers}, "usd": {"tiers": tiers}}
    asked.world.create("price", tiers=tiers, currency_options=options)
    assert asked.one("/v1/prices", "data.currency_options")["currency_options"] == {"eur": {}, "usd": {}}
    one = asked.one("/v1/prices", "data.currency_options.eur.tiers")
    assert one["currency_options"] == {"eur": {"tiers": tiers}, "usd": {}}
    assert "tiers" not in one


# Lists and ids


def test_nested_lists_come_when_expanded_and_hide_what_their_url_hides(asked: Asked) -> None:
    world = asked.world
    customer = world.create("customer", subscriptions=12)["id"]
    ended = world.delete("subscription", world.list_all("subscription")[0]["id"])["id"]
    found = asked.one("/v1/customers", "data.subscriptions")["subscriptions"]
    assert (len(found["data"]), found["has_more"]) == (10, True)
    status, listed = asked.get(found["url"], limit="100")
    assert (status, len(listed["data"])) == (200, 11)
    assert listed["data"][:10] == found["data"]
    assert ended not in [each["id"] for each in listed["data"]]
    assert "subscriptions" not in asked.one(f"/v1/customers/{customer}")


def test_ids_become_objects_at_any_place(asked: Asked) -> None:
    world = asked.world
    price = world.create("price", tiers=[{"up_to": None}])
    product = world.get("product", price["product"])
    world.update("product", product["id"], default_price=price["id"])
    subscription = world.create("subscription", discounts=2)
    customer = world.get("customer", subscription["customer"])
    one = asked.one("/v1/subscriptions", "data.customer", "data.items.data.price", "data.discounts")
    assert one["customer"] == customer
    assert one["items"] == subscription["items"]
    assert [each["id"] for each in one["discounts"]] == subscription["discounts"]
    path = f"/v1/subscriptions/{subscription['id']}"
    (item,) = asked.one(path, "items.data.price.tiers", "items.data.price.product")["items"]["data"]
    assert item["price"]["tiers"] == [{"up_to": None}]
    assert item["price"]["product"] == world.get("product", product["id"])
    deep = asked.one("/v1/products", "data.default_price.product.default_price")
    assert deep["default_price"]["product"]["default_price"] == price
    (discount, _) = asked.one("/v1/subscriptions", "data.discounts.source.coupon")["discounts"]
    assert discount["source"]["coupon"] == world.list_all("coupon")[0]


def test_a_deleted_customer_is_expanded_to_what_it_leaves(asked: Asked) -> None:
    charge = asked.world.create("charge", customer=asked.world.create("customer")["id"])
    asked.world.delete("customer", charge["customer"])
    stub = {"id": charge["customer"], "object": "customer", "deleted": True}
    assert asked.one("/v1/charges", "data.customer")["customer"] == stub
    gone = asked.world.create("charge", customer="cus_of_nobody")
    assert asked.one(f"/v1/charges/{gone['id']}", "customer")["customer"] == "cus_of_nobody"


def test_both_ways_of_writing_an_array_and_an_empty_field(asked: Asked) -> None:
    asked.world.create("charge")
    sent = {"authorization": f"Bearer {asked.world.key}"}
    query = [("expand[0]", "data.customer"), ("expand[1]", "data.refunds")]
    answer = orjson.loads(asked.api.answer(Request("GET", "/v1/charges", query, sent)).body)
    assert (answer["data"][0]["customer"], answer["data"][0]["refunds"]["data"]) == (None, [])


# What is refused


@pytest.mark.parametrize(
    ("path", "expand"),
    [
        ("/v1/prices", "data"),
        ("/v1/prices", "data.colour"),
        ("/v1/prices", "data.nickname"),
        ("/v1/prices", "data.nickname.x"),
        ("/v1/prices", "data.recurring"),
        ("/v1/prices", "colour"),
        ("/v1/subscriptions", "data.items.price"),
        ("/v1/customers", "data.balance_transactions"),
        ("/v1/invoices", "data.discounts.coupon"),
        ("/v1/events", "data.data.object"),
        ("/v1/charges/{charge}", "data"),
        ("/v1/charges/{charge}", "billing_details"),
        ("/v1/charges/{charge}", "customer.sources.customer"),
    ],
)
@pytest.mark.parametrize("filled", [False, True])
def test_unknown_field_cannot_be_expanded(asked: Asked, path: str, expand: str, *, filled: bool) -> None:
    charge = asked.world.create("charge")["id"]
    for kind in ("price", "subscription", "customer", "invoice") if filled else ():
        asked.world.create(kind)
    status, error = asked.error(path.format(charge=charge), expand)
    assert (status, error["message"]) == (400, f"This property cannot be expanded ({expand}).")
    assert (error["type"], error["param"]) == ("invalid_request_error", "expand")


def test_a_list_says_where_a_field_would_be(asked: Asked) -> None:
    status, error = asked.error("/v1/prices", "product")
    assert (status, error["param"]) == (400, "expand")
    assert error["message"] == (
        "This property cannot be expanded (product). You may want to try expanding 'data.product' instead."
    )


def test_four_levels_can_be_expanded_and_no_more(asked: Asked) -> None:
    subscription = asked.world.create("subscription")["id"]
    assert asked.get("/v1/subscriptions", "data.items.data.discounts")[0] == 200
    assert asked.get(f"/v1/subscriptions/{subscription}", "items.data.price.tiers")[0] == 200
    status, error = asked.error("/v1/subscriptions", "data.items.data.price.tiers")
    assert (status, error["code"]) == (400, "property_expansion_max_depth")
    assert error["message"] == (
        "You cannot expand more than 4 levels of a property. Property: data.items.data.price.tiers"
    )


@pytest.mark.parametrize(
    ("path", "expand", "needs"),
    [
        ("/v1/charges", "data.customer", "customer"),
        ("/v1/charges", "data.refunds", "refund"),
        ("/v1/charges", "data.customer.sources", "source"),
        ("/v1/customers", "data.subscriptions", "subscription"),
        ("/v1/subscriptions", "data.items.data.price", ""),
        ("/v1/subscriptions", "data.discounts.source.coupon", "coupon"),
        ("/v1/subscriptions", "data.discounts", ""),
        ("/v1/customers", "data.tax", ""),
    ],
)
def test_a_restricted_key_expands_what_it_may_read(asked: Asked, path: str, expand: str, needs: str) -> None:
    own = {path.removeprefix("/v1/").removesuffix("s"), "customer"} - {needs}
    status, body = asked.get(path, expand, key=asked.world.restrict(own))
    if not needs:
        assert status == 200, body
        return
    assert status == 403
    assert f"Having the 'rak_{permission_of(needs)}_read' permission" in body["error"]["message"]
    assert asked.get(path, expand, key=asked.world.restrict(own | {needs}))[0] == 200


def test_a_field_of_several_kinds_needs_the_permission_of_what_it_holds(asked: Asked) -> None:
    key = asked.world.restrict(["balance_transaction", "charge"])
    asked.world.create("balance_transaction")
    path = "/v1/balance_transactions"
    assert asked.one(path, "data.source", key=key)["source"]["object"] == "charge"
    asked.world.create("balance_transaction", source=asked.world.create("refund")["id"])
    status, error = asked.error(path, "data.source", key=key)
    assert status == 403
    assert "rak_charge_read" in error["message"]


# Versions


def test_a_version_from_before_a_field_cannot_expand_it() -> None:
    asked = Asked(World(now=NOW, expandable_since={"price.tiers": "2020-08-27"}))
    asked.world.create("price", tiers=[{"up_to": None}])
    status, error = asked.error("/v1/prices", "data.tiers", version="2020-03-02")
    assert (status, error["message"]) == (400, "This property cannot be expanded (data.tiers).")
    for version in ("2020-08-27", asked.world.api_version):
        assert asked.one("/v1/prices", "data.tiers", version=version)["tiers"] == [{"up_to": None}]


@pytest.mark.parametrize(
    ("kind", "field", "version", "since"),
    [
        ("charge", "refunds", "2022-08-01", "2022-11-15"),
        ("customer", "sources", "2020-03-02", "2020-08-27"),
        ("customer", "subscriptions", "2020-03-02", "2020-08-27"),
        ("customer", "tax_ids", "2020-03-02", "2020-08-27"),
    ],
)
def test_older_versions_show_lists_that_newer_ones_expand(
    asked: Asked, kind: str, field: str, version: str, since: str
) -> None:
    made = asked.world.create(kind, api_version=version)
    assert asked.one(f"/v1/{kind}s", version=version)[field]["object"] == "list"
    assert field not in asked.one(f"/v1/{kind}s", version=since)
    carried = asked.world.events()[0]["data"]["object"]
    assert carried[field]["object"] == "list"
    assert carried["id"] == made["id"]


# Discounts


@pytest.mark.parametrize(
    ("kind", "place"), [(kind, place) for kind, places in HELD.items() for place in places]
)
def test_a_discount_is_found_in_its_holder_alone(asked: Asked, kind: str, place: str) -> None:
    world = asked.world
    one: dict[str, Any] = {place: 1}
    made = world.create(kind, **one)
    (discount,) = world.list_all("discount")
    assert faults(discount) == []
    assert discount[HELD[kind][place][1].field] == made["id"]
    assert discount["customer"] in [each["id"] for each in world.list_all("customer")]
    inline = HELD[kind][place][1].inline
    assert made[place] == (discount if inline else [discount["id"]])
    shown = expanded(world, kind, made["id"], place)
    assert shown[place] == (discount if inline else [discount])
    assert faults(shown) == []
    for path in ("/v1/discounts", f"/v1/discounts/{discount['id']}"):
        assert asked.get(path)[0] == 404


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("customer", ["customer.discount.created"]),
        ("subscription", ["customer.discount.created", "customer.subscription.updated"]),
        ("subscription_item", ["customer.subscription.updated"]),
        ("invoice", ["invoice.updated"]),
        ("line_item", ["invoice.updated"]),
        ("invoiceitem", []),
    ],
)
def test_a_new_discount_has_its_event_or_its_holders(asked: Asked, kind: str, types: list[str]) -> None:
    world = asked.world
    ((place, (_, container)),) = HELD[kind].items()
    made = world.create(kind)
    world.create("coupon")
    before = len(world.events())
    discount = world.create("discount", **{container.field: made["id"]})
    events = world.events()[: len(world.events()) - before][::-1]
    assert [event["type"] for event in events] == types
    now = world.get(kind, made["id"])[place]
    assert now == (discount if container.inline else [discount["id"]])
    world.delete("discount", discount["id"])
    assert not world.get(kind, made["id"])[place]


def test_a_customers_newest_discount_takes_the_place_of_the_last(asked: Asked) -> None:
    world = asked.world
    customer = world.create("customer", discount=1)["id"]
    newest = world.create("discount", customer=customer)
    assert world.list_all("discount") == [newest]
    later = world.update("discount", newest["id"], end=NOW + 5)
    assert world.events()[0]["type"] == "customer.discount.updated"
    assert world.get("customer", customer)["discount"] == later


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("subscription", "latest_invoice.payment_intent.latest_charge"),
        ("subscription", "latest_invoice.total_tax_amounts.tax_rate"),
        ("subscription", "items.data.plan.product"),
        ("subscription", "discount.promotion_code"),
        ("invoice", "charge.balance_transaction"),
        ("invoice", "lines.data.price.product"),
        ("invoice", "quote"),
        ("charge", "invoice.subscription"),
        ("payment_intent", "invoice"),
    ],
)
def test_what_older_versions_could_expand_can_be_expanded_in_them_alone(
    asked: Asked, kind: str, path: str
) -> None:
    made = asked.world.create(kind)
    assert asked.get(f"/v1/{kind}s/{made['id']}", path, version="2024-06-20")[0] == 200
    assert asked.get(f"/v1/{kind}s/{made['id']}", path)[0] == 400
