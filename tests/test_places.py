"""Accounts share a few places: readers of their events, and subtasks of a binding. An account that fails
leaves its place to others after a few requests and is tried again after a pause: a healthy account does not
wait while others are asked again."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.errors import StripeError, UnreachableError
from source_stripe_native.scheduling.pauses import Pauses, Unit
from source_stripe_native.settings import DEFAULTS
from tests.capture import Capture
from tests.cdk_task import on_virtual_time
from tests.posts import CONFIG, listen, posting
from tests.soak import hurried
from tests.test_failures import QUICK, TROUBLES

KINDS: Final = {
    **{kind: TROUBLES[kind] for kind in ("500", "reset", "cut off", "no JSON", "lock")},
    "no list": Fault(odd="empty"),
    "refused": TROUBLES["401 This account's access was revoked"],
}
PATHS: Final = {"poller": "/v1/events", "notices": "/v1/events", "backfills": "/v1/products"}
MOST: Final = {"poller": 2, "notices": 2, "backfills": 4 + DEFAULTS.account_attempts}
"""Requests of a turn that fails at most: for a whole page, and for one object; in a backfill twice if nobody
else is answered meanwhile, and then for the object without its expansions."""
HOUR: Final = timedelta(hours=1)
ONE_TURN: Final = replace(
    QUICK,
    brief_pause=HOUR,
    shortest_pause=HOUR,
    longest_pause=HOUR,
    key_patience=DEFAULTS.key_patience,
    account_readers=4,
    subtasks_per_binding=8,
)
FAILING: Final = 12


async def until(holds: Callable[[], bool]) -> None:
    while not holds():  # noqa: ASYNC110 - what a capture writes sets no event
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("place", PATHS)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_failing_account_leaves_its_place_after_a_few_requests(
    world: World, server: StripeServer, monkeypatch: pytest.MonkeyPatch, kind: str, place: str
) -> None:
    accounts = [world.connect()["id"] for _ in range(FAILING + 3)]
    failing, healthy = accounts[-FAILING:], [PLATFORM, *accounts[:-FAILING]]
    everyone = [PLATFORM, *accounts]
    products = {each: world.create("product", each, event=False)["id"] for each in everyone}
    capture = Capture(
        server,
        ["Products"],
        connected=True,
        interval="PT1H" if place == "notices" else "PT1S",
        config=CONFIG if place == "notices" else {},
        settings=ONE_TURN,
    )

    def have_changed(those: list[str]) -> bool:
        last = capture.last("Products")
        return all(last.get(products[each], {}).get("name") == "Ann" for each in those)

    def change() -> None:
        world.clock.advance(20)
        for each in [*failing, *healthy]:
            world.update("product", products[each], each, name="Ann")

    def fail() -> None:
        server.faults.set(*(replace(KINDS[kind], path=PATHS[place], account=each) for each in failing))
        server.journal.clear()

    async def tell() -> None:
        await until(lambda: capture.caught_up("Products"))
        fail()
        change()

    with hurried():
        if place == "backfills":
            for each in everyone:
                world.update("product", products[each], each, event=False, name="Ann")
            fail()
            await capture.session(lambda: have_changed(healthy))
        elif place == "poller":
            await capture.session(lambda: capture.caught_up("Products"))
            fail()
            change()
            world.clock.advance(120)
            await capture.session(lambda: have_changed(healthy))
        else:
            async with posting(world, listen(monkeypatch)):
                telling = asyncio.create_task(tell())
                await capture.session(lambda: have_changed(healthy))
                await telling
        asked = [each.account for each in server.journal.visits(PATHS[place]) if each.account in failing]
        assert len({*asked}) >= 4, "they had turns"
        assert not any(asked.count(each) > MOST[place] for each in failing)
        # Nothing is lost.
        server.faults.set()
        world.clock.advance(120)
        capture.interval = "PT1S"
        await capture.session(lambda: have_changed(everyone))
    assert have_changed(everyone)


UNIT: Final = Unit("Prices", "acct_1")
FAILURES: Final = {
    "500": StripeError(500, "no", should_retry=True),
    "unreachable": UnreachableError("no"),
    "a mistake": ZeroDivisionError("no"),
}
MINUTE: Final = DEFAULTS.shortest_pause.total_seconds()


async def pauses_of(
    error: Exception, number: int, *, is_silent: bool = False, unit: Unit = UNIT
) -> list[float]:
    """The seconds of so many pauses in a row of a unit, where the key's own account is answered, or not."""

    async def get(*_: Any, **__: Any) -> Any:
        if is_silent:
            raise UnreachableError("nobody is answered")
        return {}

    http = SimpleNamespace(settings=DEFAULTS, silence=timedelta(seconds=is_silent), get=get)
    pauses, found = Pauses(cast(Any, http), logging.getLogger("test"), PLATFORM), []
    for _ in range(number):
        found.append(await pauses.pause(unit, error))
        await asyncio.sleep(found[-1] + 1)
    return found


@pytest.mark.parametrize("failure", FAILURES)
@on_virtual_time
async def test_what_may_pass_is_tried_again_soon_and_ever_more_rarely(
    caplog: pytest.LogCaptureFixture, failure: str
) -> None:
    pauses = await pauses_of(FAILURES[failure], 14)
    assert pauses[0] < 5
    for before, pause in itertools.pairwise(pauses):
        assert pause == min(2 * before, DEFAULTS.longest_pause.total_seconds())
    # Once the trouble is over, the unit is tried again after about as long as it has lasted.
    ends = itertools.accumulate(pauses)
    assert all(pause <= before + pauses[0] for before, pause in zip(ends, pauses[1:], strict=False))
    assert pauses[-1] == DEFAULTS.longest_pause.total_seconds()
    assert len([line for line in caplog.records if "is paused." in line.getMessage()]) == 1


@on_virtual_time
async def test_a_pause_shorter_than_a_minute_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    assert max(await pauses_of(FAILURES["500"], 4)) < MINUTE
    assert not caplog.records
    assert max(await pauses_of(FAILURES["500"], 5)) == MINUTE
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("error", "unit"),
    [(StripeError(403, "no"), UNIT), *((each, Unit("Prices", PLATFORM)) for each in FAILURES.values())],
)
@on_virtual_time
async def test_what_is_refused_for_good_or_was_asked_for_a_minute_is_paused_for_a_minute_at_once(
    caplog: pytest.LogCaptureFixture, error: Exception, unit: Unit
) -> None:
    assert await pauses_of(error, 3, unit=unit) == [MINUTE, 2 * MINUTE, 4 * MINUTE]
    assert len([line for line in caplog.records if "is paused." in line.getMessage()]) == 1


@on_virtual_time
async def test_pauses_do_not_grow_while_stripe_answers_nobody(caplog: pytest.LogCaptureFixture) -> None:
    assert {*await pauses_of(FAILURES["500"], 8, is_silent=True)} == {DEFAULTS.brief_pause.total_seconds()}
    assert not caplog.records
