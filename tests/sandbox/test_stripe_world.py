"""The world keeps objects, tells their changes by events, and does the same thing for the same seed."""

from random import Random

import orjson
import pytest

from sandbox.stripe import PLATFORM, World, seeded
from sandbox.stripe.routes import Api, Request

NOW = 1_750_000_000
DAY = 24 * 3600


@pytest.fixture
def world() -> World:
    return World(now=NOW)


def types(world: World, account: str | None = None) -> list[str]:
    """Event types, oldest first."""
    return [event["type"] for event in reversed(world.events(account))]


def test_same_seed_and_calls_make_the_same_world() -> None:
    def story(seed: int) -> list[object]:
        world, rng = World(seed, NOW), Random(seed)
        told = [world.random_change(rng) for _ in range(200)]
        return [told, world.list_all("price"), world.events()]

    assert story(1) == story(1)
    assert story(1) != story(2)


def test_price_story_is_told_by_events_with_previous_attributes(world: World) -> None:
    price = world.create("price", recurring={"interval": "year"}, metadata={"a": "1"})
    assert (price["type"], price["recurring"]["interval_count"]) == ("recurring", 1)
    world.update("price", price["id"], metadata={"b": "2"}, nickname="n")
    world.archive("price", price["id"])
    world.delete("price", price["id"])

    assert types(world) == [
        "product.created",
        "price.created",
        "price.updated",
        "price.updated",
        "price.deleted",
    ]
    created, edited, archived, deleted = reversed(world.events()[:4])
    assert created["data"] == {"object": price}
    assert edited["data"]["previous_attributes"] == {"metadata": {"b": None}, "nickname": None}
    assert archived["data"]["previous_attributes"] == {"active": True}
    assert deleted["data"]["object"] == price | {
        "active": False,
        "nickname": "n",
        "metadata": {"a": "1", "b": "2"},
    }
    with pytest.raises(KeyError):
        world.get("price", price["id"])


def test_update_that_changes_nothing_makes_no_event(world: World) -> None:
    price = world.create("price", unit_amount=5)
    before = len(world.events())
    assert world.update("price", price["id"], unit_amount=5) == price
    assert len(world.events()) == before


def test_silent_change_makes_no_event(world: World) -> None:
    product = world.create("product", event=False)
    world.update("product", product["id"], event=False, name="new")
    world.create("subscription", event=False)
    assert world.get("product", product["id"])["name"] == "new"
    assert world.events() == []


def test_event_renders_in_the_version_asked_for(world: World) -> None:
    world.create("product", api_version="2020-08-27")
    world.create("product")
    assert [event["api_version"] for event in world.events()] == [world.api_version, "2020-08-27"]


def test_backdated_object_has_a_backdated_event(world: World) -> None:
    product = world.create("product", created=NOW - DAY)
    assert (product["created"], product["updated"]) == (NOW - DAY, NOW - DAY)
    world.create("subscription", at=NOW - DAY)
    assert {event["created"] for event in world.events()} == {NOW - DAY}


def test_accounts_keep_their_objects_and_events_apart(world: World) -> None:
    first, second = world.connect()["id"], world.connect()["id"]
    price = world.create("price", first)
    assert [p["id"] for p in world.list_all("price", first)] == [price["id"]]
    assert world.list_all("price", second) == world.list_all("price") == []
    assert types(world, first) == ["product.created", "price.created"]
    assert types(world, second) == types(world) == []
    assert world.accounts == [PLATFORM, first, second]


def test_account_changes_are_told_in_the_account_itself(world: World) -> None:
    account = world.connect()["id"]
    world.update("account", account, email="a@example.com")
    assert types(world, account) == ["account.updated"]
    assert types(world) == []


def test_taken_id_and_unknown_kind_are_refused(world: World) -> None:
    world.create("product", id="prod_1")
    with pytest.raises(ValueError, match="prod_1 exists already"):
        world.create("product", id="prod_1")
    with pytest.raises(KeyError, match="pruduct"):
        world.create("pruduct")
    with pytest.raises(ValueError, match="cannot be archived"):
        world.archive("account", PLATFORM)
    with pytest.raises(ValueError, match="there are"):
        world.restrict({"prices"})


def test_clock_never_goes_back(world: World) -> None:
    world.clock.advance(90.5)
    assert (world.clock.now(), world.clock.time()) == (NOW + 90, NOW + 90.5)
    with pytest.raises(ValueError, match="cannot go back"):
        world.clock.advance(-1)


def test_random_changes_are_all_that_events_need_to_follow_the_world() -> None:
    """Replaying the events gives the objects, whatever happened."""
    world, rng = World(3, NOW), Random(3)
    for _ in range(300):
        world.random_change(rng, ["price", "product"])
        world.clock.advance(1)
    replayed: dict[str, dict[str, object]] = {}
    for event in reversed(world.events()):
        document = event["data"]["object"]
        if event["type"].endswith(".deleted"):
            del replayed[document["id"]]
        else:
            replayed[document["id"]] = document
    existing = world.list_all("price") + world.list_all("product")
    assert replayed == {document["id"]: document for document in existing}


def test_seeded_world_has_fixed_prices_of_which_four_are_archived() -> None:
    first, second = seeded(0), seeded(7)
    prices = first.list_all("price")
    assert prices == second.list_all("price")
    assert [price["active"] for price in prices].count(False) == 4
    assert len(prices) == 9
    assert len({price["created"] for price in prices}) < 9
    assert {price["product"] for price in prices} == {p["id"] for p in first.list_all("product")}
    assert len(seeded(connected=2).accounts) == 3


def test_events_show_late_and_disappear_after_thirty_days(world: World) -> None:
    def listed() -> list[str]:
        answer = Api(world).answer(
            Request("GET", "/v1/events", headers={"authorization": f"Bearer {world.key}"})
        )
        return [event["type"] for event in orjson.loads(answer.body)["data"]]

    world.create("product", visible_after=30)
    assert listed() == []
    assert types(world) == ["product.created"]
    world.clock.advance(30)
    assert listed() == ["product.created"]
    world.clock.advance(30 * DAY - 30)
    assert listed() == ["product.created"]
    world.clock.advance(1)
    assert listed() == []
