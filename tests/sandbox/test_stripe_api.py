"""Requests are answered as Stripe would: lists, parameters, keys, accounts, errors, writing."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import World
from sandbox.stripe.paths import endpoint
from sandbox.stripe.routes import Api, Request

NOW = 1_750_000_000
DAY = 24 * 3600
Pairs = Sequence[tuple[str, str]]


class Client:
    """Asks the API of a world directly, as one key."""

    def __init__(self, world: World, key: str | None = None) -> None:
        self.world = world
        self.api = Api(world)
        self.key = key or world.key

    def ask(
        self,
        path: str,
        *query: tuple[str, str],
        method: str = "GET",
        form: Pairs = (),
        **headers: str,
    ) -> tuple[int, Any]:
        sent = {"authorization": f"Bearer {self.key}"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.api.answer(Request(method, path, query, sent, form))
        return answer.status, orjson.loads(answer.body)

    def ids(self, path: str, *query: tuple[str, str], **headers: Any) -> list[str]:
        status, body = self.ask(path, *query, **headers)
        assert status == 200, body
        return [item["id"] for item in body["data"]]

    def error(self, path: str, *query: tuple[str, str], **options: Any) -> tuple[int, str | None, str]:
        status, body = self.ask(path, *query, **options)
        return status, body["error"].get("code"), body["error"]["message"]

    def post(self, path: str, *form: tuple[str, str]) -> Any:
        status, body = self.ask(path, method="POST", form=form)
        assert status == 200, body
        return body


@pytest.fixture
def world() -> World:
    return World(now=NOW)


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)


def make_prices(world: World, count: int, **fields: Any) -> list[str]:
    """Newest first, three to a second."""
    made = [world.create("price", created=NOW - 1000 + n // 3, **fields)["id"] for n in range(count)]
    return made[::-1]


def test_list_is_newest_first_in_pages_of_ten(world: World, client: Client) -> None:
    prices = make_prices(world, 12)
    status, first = client.ask("/v1/prices")
    assert status == 200
    assert [p["id"] for p in first["data"]] == prices[:10]
    assert (first["object"], first["has_more"], first["url"]) == ("list", True, "/v1/prices")
    status, second = client.ask("/v1/prices", ("starting_after", prices[9]))
    assert [p["id"] for p in second["data"]] == prices[10:]
    assert second["has_more"] is False


def test_ending_before_pages_toward_newer_objects(world: World, client: Client) -> None:
    prices = make_prices(world, 12)
    _, page = client.ask("/v1/prices", ("ending_before", prices[5]), ("limit", "3"))
    assert [p["id"] for p in page["data"]] == prices[2:5]
    assert page["has_more"] is True
    assert client.ids("/v1/prices", ("ending_before", prices[2])) == prices[:2]


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [
        ([("created[gte]", str(NOW - 999))], 3, 8),
        ([("created[gt]", str(NOW - 999))], 6, 8),
        ([("created[lte]", str(NOW - 999))], 0, 5),
        ([("created[lt]", str(NOW - 999))], 0, 2),
        ([("created", str(NOW - 999))], 3, 5),
        ([("created[gte]", str(NOW - 999)), ("created[lt]", str(NOW - 998))], 3, 5),
    ],
)
def test_created_bounds_keep_whole_seconds(
    world: World, client: Client, query: Pairs, first: int, last: int
) -> None:
    oldest_first = make_prices(world, 9)[::-1]
    assert client.ids("/v1/prices", *query) == oldest_first[first : last + 1][::-1]


@pytest.mark.parametrize(("bare", "shows"), [("active", ["on"]), ("both", ["off", "on"])])
def test_bare_price_list_is_what_the_world_says(bare: Any, shows: list[str]) -> None:
    world = World(now=NOW, bare_prices=bare)
    world.create("price", id="on")
    world.create("price", id="off", active=False)
    client = Client(world)
    assert client.ids("/v1/prices") == shows
    assert client.ids("/v1/prices", ("active", "true")) == ["on"]
    assert client.ids("/v1/prices", ("active", "false")) == ["off"]
    world.archive("price", "on")
    assert client.ids("/v1/prices", ("active", "false")) == ["off", "on"]


def test_inline_price_is_read_and_told_but_never_listed(world: World, client: Client) -> None:
    inline = world.create("price", listed=False)["id"]
    assert client.ids("/v1/prices", ("active", "true")) == client.ids("/v1/prices", ("active", "false")) == []
    assert client.ask(f"/v1/prices/{inline}")[0] == 200
    assert client.ids("/v1/events", ("type", "price.created")) == [world.events()[0]["id"]]
    assert [price["id"] for price in world.list_all("price")] == [inline]


def test_list_filters_combine(world: World, client: Client) -> None:
    product = world.create("product")["id"]
    month = world.create("price", product=product, recurring={"interval": "month"}, lookup_key="m")["id"]
    year = world.create("price", product=product, recurring={"interval": "year"}, lookup_key="y")["id"]
    once = world.create("price", product=product, currency="eur")["id"]
    other = world.create("price", product=world.create("product")["id"])["id"]

    assert client.ids("/v1/prices", ("product", product)) == [once, year, month]
    assert client.ids("/v1/prices", ("product", product), ("type", "recurring")) == [year, month]
    assert client.ids("/v1/prices", ("recurring[interval]", "year")) == [year]
    assert client.ids("/v1/prices", ("lookup_keys[]", "m"), ("lookup_keys[]", "y")) == [year, month]
    assert client.ids("/v1/prices", ("type", "one_time"), ("currency", "usd")) == [other]
    assert client.ids("/v1/products", ("ids[0]", product)) == [product]


def test_event_types_are_exact_or_end_in_a_star(world: World, client: Client) -> None:
    product_id = world.create("product")["id"]
    price = world.create("price", event=False)["id"]
    world.update("product", product_id, name="n")
    world.archive("price", price)
    world.delete("price", price)
    deleted, archived, product, made = (event["id"] for event in world.events())

    assert client.ids("/v1/events", ("type", "price.*")) == [deleted, archived]
    assert client.ids("/v1/events", ("types[]", "price.deleted"), ("types[]", "product.*")) == [
        deleted,
        product,
        made,
    ]
    assert client.ids("/v1/events", ("types[0]", "price.updated")) == [archived]
    twenty_one = [("types[]", f"a.{n}") for n in range(21)]
    assert client.error("/v1/events", *twenty_one)[0] == 400
    assert client.ids("/v1/events", *twenty_one[:20]) == []


def test_event_cursor_that_aged_out_says_so(world: World, client: Client) -> None:
    world.create("product")
    old = world.events()[0]["id"]
    world.clock.advance(30 * DAY + 1)
    status, _, message = client.error("/v1/events", ("starting_after", old))
    assert status == 400
    assert message.endswith("is no longer available because it's aged out of our retention policy.")
    assert client.error(f"/v1/events/{old}")[:2] == (404, "resource_missing")


def test_deleted_cursor_and_object_are_missing(world: World, client: Client) -> None:
    first, *_ = make_prices(world, 3)
    world.delete("price", first)
    assert client.error("/v1/prices", ("starting_after", first)) == (
        400,
        "resource_missing",
        f"No such price: '{first}'",
    )
    assert client.error(f"/v1/prices/{first}") == (404, "resource_missing", f"No such price: '{first}'")


@pytest.mark.parametrize(
    ("path", "query", "status", "part"),
    [
        ("/v1/prices", [("limit", "0")], 400, "greater than or equal to 1"),
        ("/v1/prices", [("limit", "101")], 400, "less than or equal to 100"),
        ("/v1/prices", [("limit", "ten")], 400, "Invalid integer: ten"),
        ("/v1/prices", [("active", "yes")], 400, "Invalid boolean: yes"),
        ("/v1/prices", [("activ", "true")], 400, "Received unknown parameter: activ"),
        ("/v1/prices", [("type", "weekly")], 400, "must be one of one_time or recurring"),
        ("/v1/prices", [("created[since]", "1")], 400, "created[since]"),
        ("/v1/prices", [("starting_after", "a"), ("ending_before", "b")], 400, "only specify one"),
        ("/v1/events", [("types", "a")], 400, "Invalid array: a"),
        ("/v1/price", [], 404, "Unrecognized request URL (GET: /v1/price)"),
        ("/v1/prices/a/b", [], 404, "Unrecognized request URL"),
        ("/v1/prices/a", [], 404, "No such price: 'a'"),
    ],
)
def test_bad_requests_are_refused_in_stripes_words(
    client: Client, path: str, query: Pairs, status: int, part: str
) -> None:
    got, _, message = client.error(path, *query)
    assert got == status
    assert part in message


def test_keys_are_refused_as_stripe_refuses_them(world: World) -> None:
    assert Client(world, "sk_test_Sandbox0wrong").error("/v1/prices") == (
        401,
        None,
        "Invalid API Key provided: sk_test_*********rong",
    )
    key = world.restrict({"price"})
    restricted = Client(world, key)
    assert restricted.ids("/v1/prices") == []
    status, _, message = restricted.error("/v1/products")
    assert status == 403
    assert "does not have the required permissions for this endpoint on account 'acct_" in message
    assert "Having the 'rak_product_read' permission would allow this request to continue." in message
    assert restricted.error("/v1/prices", method="POST")[0] == 403
    world.keys.revoke(key)
    assert restricted.error("/v1/prices")[:2] == (401, "api_key_expired")
    live = World(now=NOW, livemode=True)
    assert Client(live, live.restrict({"price"})).error("/v1/products")[0] == 401


def test_basic_authentication_is_a_key_as_user_name(world: World, client: Client) -> None:
    import base64

    user = base64.b64encode(f"{world.key}:".encode()).decode()
    assert client.ask("/v1/prices", authorization=f"Basic {user}")[0] == 200
    assert client.error("/v1/prices", authorization="Basic !")[0] == 401
    assert client.error("/v1/prices", authorization="")[0] == 401


def test_version_must_exist_and_is_answered(world: World, client: Client) -> None:
    assert client.error("/v1/prices", stripe_version="2020-02-30")[0] == 400
    sent = {"authorization": f"Bearer {world.key}"}
    assert (
        Api(world).answer(Request("GET", "/v1/prices", (), sent)).headers["stripe-version"]
        == world.api_version
    )
    sent["stripe-version"] = "2020-08-27"
    assert Api(world).answer(Request("GET", "/v1/prices", (), sent)).headers["stripe-version"] == "2020-08-27"


def test_accounts_are_listed_without_the_platform(world: World, client: Client) -> None:
    first, second = world.connect()["id"], world.connect()["id"]
    assert client.ids("/v1/accounts") == [second, first]
    own = client.ask("/v1/account")[1]
    assert own["id"] == world.platform
    assert "created" not in own
    assert client.ask("/v1/account", stripe_account=first)[1]["id"] == first
    assert client.ask(f"/v1/accounts/{second}")[1]["id"] == second
    assert client.error(f"/v1/accounts/{second}", stripe_account=first)[:2] == (403, "account_invalid")


def test_connected_account_is_acted_for_by_header(world: World, client: Client) -> None:
    account = world.connect()["id"]
    price = world.create("price", account)["id"]
    assert client.ids("/v1/prices", stripe_account=account) == [price]
    assert client.ids("/v1/prices") == []
    status, code, message = client.error("/v1/prices", stripe_account="acct_nobody")
    assert (status, code) == (403, "account_invalid")
    assert "does not have access to account 'acct_nobody'" in message


def test_expanded_field_holds_the_object(world: World, client: Client) -> None:
    price = world.create("price")
    product = world.get("product", price["product"])
    assert client.ask("/v1/prices", ("expand[]", "data.product"))[1]["data"][0]["product"] == product
    assert client.ask(f"/v1/prices/{price['id']}", ("expand[]", "product"))[1]["product"] == product
    assert client.error("/v1/prices", ("expand[]", "data.nickname.x"))[0] == 400
    assert client.error("/v1/events", ("expand[]", "data.data.object.product"))[0] == 400


def test_objects_are_written_over_http_with_their_types(world: World, client: Client) -> None:
    product = client.post("/v1/products", ("name", "Tea"), ("metadata[a]", "1"))
    price = client.post(
        "/v1/prices",
        ("currency", "eur"),
        ("product", product["id"]),
        ("unit_amount", "250"),
        ("recurring[interval]", "week"),
    )
    assert (price["unit_amount"], price["type"]) == (250, "recurring")
    assert price["recurring"]["interval"] == "week"
    changed = client.post(f"/v1/prices/{price['id']}", ("active", "false"), ("metadata[b]", "2"))
    assert changed == world.get("price", price["id"])
    assert (changed["active"], changed["metadata"]) == (False, {"b": "2"})
    assert client.ask(f"/v1/products/{product['id']}", method="DELETE")[1] == {
        "id": product["id"],
        "object": "product",
        "deleted": True,
    }
    assert [event["type"] for event in world.events()] == [
        "product.deleted",
        "price.updated",
        "price.created",
        "product.created",
    ]
    assert client.error("/v1/prices", method="POST") == (
        400,
        "parameter_missing",
        "Missing required param: currency.",
    )
    assert client.error("/v1/products", method="POST", form=[("nam", "x")])[1] == "parameter_unknown"
    assert (
        client.error(f"/v1/prices/{price['id']}", method="POST", form=[("id", "x")])[1] == "parameter_unknown"
    )
    assert client.error("/v1/file_links", method="POST", form=[("file", "x")])[:2] == (
        400,
        "resource_missing",
    )
    account = client.post("/v1/accounts", ("country", "FR"))["id"]
    person = client.post(f"/v1/accounts/{account}/persons", ("first_name", "Ada"))
    assert world.list_all("person", account) == [person]
    assert client.error("/v1/events", method="POST")[0] == 404


def test_endpoints_share_a_shape_whatever_the_id() -> None:
    assert (
        endpoint("GET", "/v1/prices/price_1") == endpoint("GET", "/v1/prices/prices") == "GET /v1/prices/{}"
    )
    assert endpoint("GET", "/v1/prices") == "GET /v1/prices"


@settings(max_examples=40, deadline=None)
@given(
    seconds=st.lists(st.integers(0, 5), max_size=25),
    archived=st.sets(st.integers(0, 24)),
    limit=st.integers(1, 7),
    low=st.integers(0, 5),
    active=st.booleans(),
)
def test_pages_add_up_to_the_filtered_whole(
    seconds: list[int], archived: set[int], limit: int, low: int, active: bool
) -> None:
    world = World(now=NOW)
    for place, second in enumerate(seconds):
        world.create("price", created=NOW + second, active=place not in archived, event=False)
    wanted = [
        price["id"]
        for price in world.list_all("price")
        if price["active"] is active and price["created"] >= NOW + low
    ]
    client, got = Client(world), list[str]()
    query = [("active", str(active).lower()), ("limit", str(limit)), ("created[gte]", str(NOW + low))]
    for _ in range(len(seconds) + 1):
        after = [("starting_after", got[-1])] if got else []
        _, page = client.ask("/v1/prices", *query, *after)
        got += [price["id"] for price in page["data"]]
        if not page["has_more"]:
            break
    assert got == wanted
