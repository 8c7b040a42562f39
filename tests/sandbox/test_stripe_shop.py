"""The demonstration: something of every kind, the same for a seed, and alive."""

import pytest

from sandbox.stripe import PLATFORM, Shop, World
from sandbox.stripe.kinds import KINDS
from sandbox.stripe.kinds.core import RETENTION
from sandbox.stripe.routes import Api, Request

NOW = 1_780_000_000
DAYS = 100


def everything(world: World) -> dict[str, list[object]]:
    return {kind: [dict(each) for each in world.list_all(kind)] for kind in KINDS}


@pytest.fixture(scope="module")
def shop() -> Shop:
    """After a while of live changes."""
    made = Shop(now=NOW, days=DAYS, connected=2, test_clocks=3)
    for _ in range(100):
        made.world.clock.advance(3)
        made.live()
    return made


def test_every_kind_has_objects_in_the_shop_and_in_its_connected_accounts(shop: Shop) -> None:
    for account in shop.world.accounts:
        missing = {kind for kind in KINDS if not shop.world.list_all(kind, account)}
        assert missing - {"account", "event", "discount"} == set(), account
        if account == PLATFORM:
            assert missing == set()


def test_history_reaches_back_to_its_first_day_and_not_beyond_now(shop: Shop) -> None:
    times = [each["created"] for each in shop.world.list_all("charge")]
    assert NOW - DAYS * 86_400 < min(times) < NOW - (DAYS - 20) * 86_400
    assert NOW < max(times) <= shop.world.clock.now()


def test_shop_is_the_same_for_a_seed() -> None:
    one, same, other = (Shop(seed, now=NOW, days=DAYS) for seed in (1, 1, 2))
    for each in (one, same, other):
        for _ in range(30):
            each.live()
    assert everything(one.world) == everything(same.world) != everything(other.world)


def test_last_event_of_an_object_tells_its_last_state(shop: Shop) -> None:
    told: set[str] = set()
    for event in shop.world.events():
        data = event["data"]["object"]
        assert event["created"] >= NOW - RETENTION
        if data["object"] in ("price", "payout", "setup_intent") and data["id"] not in told:
            told.add(data["id"])
            assert data == shop.world.get(data["object"], data["id"])
    assert len(told) > 5


def test_every_list_can_be_read(shop: Shop) -> None:
    headers = {"authorization": f"Bearer {shop.world.key}", "stripe-version": shop.world.api_version}
    for row in KINDS.values():
        if row.path and "{" not in row.path and "L" in row.ops:
            answer = Api(shop.world).answer(Request("GET", row.path, headers=headers))
            assert answer.status == 200 or b"Missing required param" in answer.body, answer.body
