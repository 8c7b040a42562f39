"""Writes that Stripe would refuse: an error in Stripe's words, and the world stays whole."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import World, facts
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.routes import Api, Request

NOW = 1_780_000_000
VALUES = st.sampled_from(["", "abc", "-1", "5", "true", "null", "9" * 30, "x" * 50])
PLACES = st.sampled_from(["{}", "{}[a]", "{}[]", "{}[0][b]", "{}[a][b]", "{}[", "{}]"])
LISTS = sorted(row.path for row in KINDS.values() if row.path and "{" not in row.path)


def send(world: World, path: str, form: list[tuple[str, str]], method: str = "POST") -> tuple[int, Any]:
    headers = {"authorization": f"Bearer {world.key}"}
    answer = Api(world).answer(Request(method, path, headers=headers, form=form))
    return answer.status, orjson.loads(answer.body)


@pytest.mark.parametrize(
    ("path", "form", "says"),
    [
        ("/v1/nothings", [], "Unrecognized request URL (POST: /v1/nothings)."),
        ("/v1/charges", [("amount", "abc"), ("currency", "usd")], "Invalid integer: abc"),
        ("/v1/charges", [("amount", ""), ("currency", "usd")], "Invalid integer: "),
        ("/v1/charges", [("amount", "5")], "Missing required param: currency."),
        ("/v1/charges", [("amounts", "5")], "Received unknown parameter: amounts"),
        ("/v1/prices", [("currency", "usd"), ("active", "maybe")], "Invalid boolean: maybe"),
        ("/v1/prices", [("currency", "usd"), ("product", "prod_x")], "No such product: 'prod_x'"),
        ("/v1/prices", [("currency", "usd"), ("lookup_key[a]", "x")], 'Invalid string: {"a":"x"}'),
        ("/v1/invoices", [("status_transitions", "x")], "Received unknown parameter: status_transitions"),
        ("/v1/invoices", [("shipping_details", "x")], "Invalid object: x"),
        ("/v1/subscriptions", [("customer", "cus_x")], "No such customer: 'cus_x'"),
        ("/v1/coupons", [("id", "taken")], "Coupon already exists."),
    ],
)
def test_what_stripe_would_refuse_is_refused_in_its_words(
    path: str, form: list[tuple[str, str]], says: str
) -> None:
    world = World(now=NOW)
    world.create("coupon", id="taken")
    status, body = send(world, path, form)
    assert status in (400, 404)
    assert body["error"]["message"].startswith(says)
    assert body["error"]["type"] == "invalid_request_error"


def test_account_of_the_key_cannot_be_deleted() -> None:
    world = World(now=NOW)
    status, _ = send(world, f"/v1/accounts/{world.platform}", [], "DELETE")
    assert status == 400
    assert world.list_all("product") == []


@settings(max_examples=60)
@given(data=st.data(), path=st.sampled_from(LISTS))
def test_any_form_is_answered_and_its_list_is_still_readable(path: str, data: st.DataObject) -> None:
    world = World(now=NOW)
    (row,) = [row for row in KINDS.values() if row.path == path]
    names = st.sampled_from(sorted(row.fields.keys() | {"id", "nothing"}))
    fields = data.draw(st.lists(st.tuples(names, PLACES, VALUES), max_size=4))
    form = [(place.format(name), value) for name, place, value in fields]
    needed = facts.forms().get(("POST", facts.shape_of(path)), {})
    form += [(name[:-1], "5") for name in needed if name.endswith("!")]
    status, body = send(world, path, form)
    assert status in (200, 400, 404)
    if status == 200:
        send(world, f"{path}/{body['id']}", form)
    status, _ = send(world, path, [], "GET")
    assert status in (200, 400, 404)
