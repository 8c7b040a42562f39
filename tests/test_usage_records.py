"""Usage records, which only API versions before 2025-03-31 have, and everything else under such a version."""

from random import Random
from typing import Any, Final

import pytest

from sandbox.stripe import StripeServer, World
from sandbox.stripe.kinds import older
from tests.capture import Capture, Json, plain
from tests.conftest import NOW
from tests.test_streams import ALL, CHANGES, TOLD, differences, populate, refused

OLD: Final = "2024-06-20"
STREAM: Final = "UsageRecords"
METERED: Final = {"usage_type": "metered"}


class OldWorld(World):
    """A world whose objects are told as the old version shows them."""

    def list_all(self, kind: str, account: str | None = None) -> list[Json]:
        look = self.look(account or self.platform)
        return [
            older.rendered(kind, each, self.api_version, look) for each in super().list_all(kind, account)
        ]


@pytest.fixture
def world() -> World:
    return OldWorld(now=NOW, api_version=OLD, unordered=True)


@pytest.fixture
def capture(server: StripeServer) -> Capture:
    return Capture(server, [STREAM], config={"advanced": {"api_version": OLD}})


def subscribe(world: World, items: int, recurring: Json, *, at: int = NOW - 600) -> str:
    """A subscription to a price of its own."""
    world.create("price", recurring=recurring, at=at, event=False)
    return str(world.create("subscription", items=items, at=at, event=False)["id"])


def items_of(world: World, subscription: str) -> list[str]:
    """Newest first."""
    return [
        each["id"] for each in world.list_all("subscription_item") if each["subscription"] == subscription
    ]


def use(world: World, item: str, times: int, *, at: int = NOW - 500) -> list[str]:
    """Summaries of an item, a second apart, oldest first."""
    made = [
        world.create("usage_record_summary", subscription_item=item, at=at + number)
        for number in range(times)
    ]
    return [each["id"] for each in made]


def newest(world: World) -> dict[str, Json]:
    """The newest summary of each item."""
    return {each["subscription_item"]: each for each in reversed(world.list_all("usage_record_summary"))}


def table(capture: Capture) -> dict[str, Json]:
    """The user's table: the last document of each key."""
    return {
        document["subscription_item"]: plain(document)
        for stream, document in capture.documents
        if stream == STREAM
    }


async def catch_up(capture: Capture) -> list[Json]:
    before = len(capture.documents)
    capture.server.world.clock.advance(120)
    await capture.session(capture.caught_up)
    return [document for _, document in capture.documents[before:]]


async def test_of_an_items_summaries_the_newest_is_written_last(world: World, capture: Capture) -> None:
    item, other = items_of(world, subscribe(world, 2, METERED))
    summaries, more = use(world, item, 120), use(world, other, 3)
    await capture.backfill()
    written = [document["id"] for _, document in capture.documents]
    assert [each for each in written if each in summaries] == summaries, "over the pages of a list too"
    assert [each for each in written if each in more] == more
    assert table(capture) == newest(world)


async def test_items_beyond_those_that_the_subscription_shows_have_their_records(
    world: World, capture: Capture
) -> None:
    subscription = subscribe(world, 25, METERED)
    items = items_of(world, subscription)
    for item in items:
        use(world, item, 2)
    await capture.backfill()
    assert table(capture).keys() == set(items)
    for item in items:
        use(world, item, 1, at=NOW + 10)
    world.clock.advance(20)
    world.update("subscription", subscription, description="renewed")
    await capture.catch_up()
    assert table(capture) == newest(world)


async def test_items_that_are_not_metered_are_skipped(
    world: World, server: StripeServer, capture: Capture
) -> None:
    licensed, metered = subscribe(world, 3, {"usage_type": "licensed"}), subscribe(world, 2, METERED)
    for subscription in (licensed, metered):
        for item in items_of(world, subscription):
            use(world, item, 1)
    await capture.backfill()
    assert table(capture).keys() == set(items_of(world, metered))
    refusals = [each for each in server.journal if each.status == 400]
    assert len(refusals) == 3
    world.clock.advance(10)
    world.update("subscription", licensed, description="changed")
    assert await capture.catch_up() == []


async def test_the_records_of_a_canceled_subscription_stay(world: World, capture: Capture) -> None:
    canceled, later = subscribe(world, 1, METERED), subscribe(world, 1, METERED)
    for subscription in (canceled, later):
        use(world, items_of(world, subscription)[0], 2)
    world.delete("subscription", canceled, event=False)
    await capture.backfill()
    assert table(capture) == newest(world)
    world.clock.advance(10)
    use(world, items_of(world, later)[0], 1, at=NOW + 5)
    world.delete("subscription", later)
    changed = await capture.catch_up()
    assert {each["_meta"]["op"] for each in changed} == {"u"}
    assert table(capture) == newest(world)


async def test_a_single_subscriptions_change_relists_only_its_own_items(
    world: World, server: StripeServer, capture: Capture
) -> None:
    changed, _ = subscribe(world, 2, METERED), subscribe(world, 2, METERED)
    await capture.backfill()
    server.journal.clear()
    world.clock.advance(10)
    world.update("subscription", changed, description="changed")
    await capture.catch_up()
    asked = {each.path.split("/")[3] for each in server.journal.visits("/v1/subscription_items/*")}
    assert asked == set(items_of(world, changed))


async def test_everything_equals_the_world_under_an_old_version(world: World, server: StripeServer) -> None:
    rng = Random(11)
    # The newest price is the one that subscriptions are made to.
    world.create("price", recurring=METERED, at=NOW, event=False)
    populate(world, rng, world.platform)
    streams = [*ALL, STREAM]
    capture = await Capture(server, streams, config={"advanced": {"api_version": OLD}}).backfill()
    assert "\n".join(filter(None, (differences(capture, each, False) for each in ALL))) == ""
    assert len(newest(world)) > 1
    assert table(capture) == newest(world)

    for _ in range(CHANGES):
        world.random_change(rng, TOLD)
        world.clock.advance(rng.choice([0, 0, 1, 20]))
    for subscription in world.list_all("subscription"):
        world.update("subscription", subscription["id"], description="told")
    await capture.catch_up()
    assert "\n".join(filter(None, (differences(capture, each, False, changed=True) for each in ALL))) == ""
    assert table(capture) == {key: each for key, each in newest(world).items() if metered(world, key)}
    assert {each.path.rsplit("/", 1)[1] for each in refused(server)} <= {"usage_record_summaries"}


def metered(world: World, item: str) -> Any:
    return (world.get("subscription_item", item)["price"]["recurring"] or {}).get("usage_type") == "metered"
