"""How the local Stripe answers below /v2/: pages by address, times as text, included fields, thin events."""

from typing import Any

import orjson
import pytest

from sandbox.stripe import World, v2
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.routes import Api, Request

NOW = 1_750_000_000
ROWS = [row for row in KINDS.values() if row.path.startswith(v2.PATH)]
Json = dict[str, Any]


class Asked:
    def __init__(self) -> None:
        self.world = World(now=NOW)
        self.api = Api(self.world)

    def get(
        self, address: str, *query: tuple[str, str], version: str = "2026-10-28.endive"
    ) -> tuple[int, Any]:
        path, _, rest = address.partition("?")
        pairs = [*query, *(tuple(each.split("=", 1)) for each in rest.split("&") if rest)]
        sent = {"authorization": f"Bearer {self.world.key}"} | (
            {"stripe-version": version} if version else {}
        )
        answer = self.api.answer(Request("GET", path, pairs, sent))  # type: ignore[arg-type]  # pairs
        return answer.status, orjson.loads(answer.body)


def made(asked: Asked, name: str, **fields: Any) -> tuple[Json, str]:
    """A new object, and the path of its list."""
    found = asked.world.create(name, event=False, **fields)
    return found, KINDS[name].path.replace("{account}", str(found.get("account")))


@pytest.mark.parametrize("name", [row.name for row in ROWS])
def test_an_object_is_the_same_in_its_list_and_by_itself(name: str) -> None:
    asked = Asked()
    found, path = made(asked, name)
    status, page = asked.get(path)
    assert (status, page["next_page_url"], page["previous_page_url"]) == (200, None, None)
    assert "has_more" not in page
    (listed,) = page["data"]
    assert listed == asked.get(f"{path}/{found['id']}")[1]
    assert listed["created"] == "2025-06-15T15:06:40.000Z"
    status, body = asked.get(f"{path}/none")
    assert (status, body["error"]["code"]) == (404, "not_found")
    assert asked.get(path, version="")[0] == 400, "a version is needed"
    assert asked.get(path, ("starting_after", found["id"]))[0] == 400


@pytest.mark.parametrize(
    ("name", "field"), [(row.name, each) for row in ROWS for each in row.includes if "." not in each]
)
def test_a_field_is_null_until_it_is_included(name: str, field: str) -> None:
    asked = Asked()
    found, path = made(asked, name)
    assert asked.get(path)[1]["data"][0][field] is None
    assert asked.get(f"{path}/{found['id']}")[1][field] is None
    assert asked.get(f"{path}/{found['id']}", ("include[0]", field))[1][field] is not None


def test_a_page_keeps_the_query_of_the_first_and_goes_on_where_an_object_is_gone() -> None:
    asked = Asked()
    name = "v2.money_management.transaction"
    path = KINDS[name].path
    ids = [asked.world.create(name, at=NOW - 9 + each, event=False)["id"] for each in range(9)]
    query = (("limit", "4"), ("created[gte]", "2025-06-15T15:06:33Z"))
    first = asked.get(path, *query)[1]
    assert [each["id"] for each in first["data"]] == ids[:4:-1]
    assert first["next_page_url"].startswith(f"{path}?page=page_")
    asked.world.delete(name, ids[5], event=False)
    second = asked.get(first["next_page_url"])[1]
    assert [each["id"] for each in second["data"]] == ids[4:1:-1]
    assert second["next_page_url"] is None


def test_an_event_names_its_object_by_an_address_that_shows_it() -> None:
    asked = Asked()
    person = asked.world.create("v2.core.account_person")
    (event, _) = asked.get("/v2/core/events")[1]["data"]
    assert "data" not in event
    assert event["type"] == "v2.core.account_person.created"
    related = event["related_object"]
    assert (related["id"], related["type"]) == (person["id"], "v2.core.account_person")
    assert asked.get(related["url"])[1]["id"] == person["id"]
    types = ("types[0]", "v2.core.account.created")
    assert [each["type"] for each in asked.get("/v2/core/events", types)[1]["data"]] == [types[1]]
    assert asked.world.events() == [], "a thin event is none of /v1/events"


def test_an_endpoint_of_v1_gets_no_thin_event() -> None:
    asked, told = Asked(), list[str]()
    asked.world.listeners.append(lambda _account, event: told.append(event["type"]))
    asked.world.create("v2.core.account")
    asked.world.create("product")
    assert told == ["product.created"]
