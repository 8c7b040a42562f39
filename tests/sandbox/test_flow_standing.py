"""How far a binding is, by the states of connectors that are built on the CDK."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.flow.standing import LAG, Standing, resumed_cursors, standings

NOW = datetime(2026, 5, 28, tzinfo=UTC)
UNDER_WAY = {"cutoff": "2026-05-28T00:00:00Z", "next_page": None}


def cursor(seconds: float) -> dict[str, str]:
    return {"cursor": (NOW - timedelta(seconds=seconds)).isoformat()}


@pytest.mark.parametrize(
    ("state", "phase", "age"),
    [
        (None, "waiting", None),
        ({"inc": cursor(5)}, "following", 5),
        ({"inc": cursor(5), "backfill": UNDER_WAY}, "backfilling", 5),
        ({"inc": cursor(5), "backfill": None}, "following", 5),
        ({"inc": cursor(5), "backfill": {"_active": UNDER_WAY, "_inactive": None}}, "backfilling", 5),
        ({"inc": cursor(5), "backfill": {}}, "following", 5),
        ({"inc": {"acct_1": cursor(5), "acct_2": cursor(9)}}, "following", 9),
        ({"inc": {"acct_1": cursor(5)}, "backfill": {"acct_1": None, "acct_2": UNDER_WAY}}, "backfilling", 5),
        ({"inc": {"cursor": 17}}, "following", None),
        ({"inc": {"cursor": "page 3"}}, "following", None),
        ({"anything": "else"}, "following", None),
    ],
)
def test_standing_is_that_of_the_slowest_account(state: Any, phase: str, age: int | None) -> None:
    (found,) = standings({"bindingStateV1": {"Prices": state}}, ["Prices"])
    assert found.phase == phase
    assert found.cursor == (None if age is None else NOW - timedelta(seconds=age))


def test_binding_has_caught_up_once_it_follows_and_is_near_the_start() -> None:
    assert Standing("following", NOW - LAG).has_caught_up(NOW)
    assert Standing("following").has_caught_up(NOW)
    assert not Standing("following", NOW - LAG - timedelta(seconds=1)).has_caught_up(NOW)
    assert not Standing("backfilling", NOW).has_caught_up(NOW)
    assert not Standing("waiting").has_caught_up(NOW)


def test_a_cursor_of_the_state_before_is_not_caught_up_until_it_moves() -> None:
    young = NOW - timedelta(seconds=11)
    assert not Standing("following", young, resumed_from=young).has_caught_up(NOW)
    assert Standing("following", NOW, resumed_from=young).has_caught_up(NOW)


def test_a_capture_of_many_accounts_waits_for_no_cursor_to_move() -> None:
    one, many = {"inc": cursor(5)}, {"inc": {"acct_1": cursor(5)}}
    keys = ["Prices", "Plans", "Files"]
    alone = {"bindingStateV1": {"Prices": one, "Plans": {"anything": "else"}}}
    assert resumed_cursors(alone, keys) == [NOW - timedelta(seconds=5), None, None]
    assert resumed_cursors({"bindingStateV1": {"Prices": one, "Plans": many}}, keys) == [None] * 3


def test_state_that_is_not_of_the_cdk_tells_of_no_binding() -> None:
    assert list(standings({"n": 5}, ["Prices", "Plans"])) == [Standing("waiting")] * 2
