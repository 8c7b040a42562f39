"""When nothing is under way, nothing is held: no reservation, no record of captured ids, no reading and no
task, whatever kind of run it was and however it ended."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.events.list_memory import ListMemories
from source_stripe_native.events.resolutions import in_order
from source_stripe_native.flow.output import to_its_end
from source_stripe_native.flow.waits import side_by_side
from source_stripe_native.models import STREAMS
from source_stripe_native.state.remembered_lists import Listed
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Source
from source_stripe_native.stripe.rate_limit import Priority, Urgency
from source_stripe_native.stripe.readings import Readings
from tests.capture import UNLIMITED, Capture
from tests.cdk_task import on_virtual_time
from tests.conftest import NOW
from tests.held import Holders, holders_watched, running, still_held
from tests.test_steps import change, fill

HOUR: Final = 3_600
SETTINGS: Final = replace(
    UNLIMITED,
    page_size=10,
    concurrent_parents=2,
    step_documents=10,
    pages_to_divide=0.5,
    slice_surplus=10**6,
    shared_page_retention=timedelta(milliseconds=50),
)
RUNS: Final = {
    "slices": ["Charges", "Invoices"],
    "shared pages": ["Cards", "BankAccounts", "PaymentMethods", "CustomerBalanceTransaction"],
    "compared lists": ["WebhookEndpoints", "ShippingRates", "ProductFeatures"],
    "polled lists": ["ValueLists", "ValueListItems", "CheckoutSessions", "CheckoutSessionsLine"],
    "events": ["Customers", "Discounts", "Events"],
}


@pytest.fixture
def holders() -> Iterator[Holders]:
    with holders_watched() as found:
        yield found


async def filled(server: StripeServer, streams: list[str], *, connected: bool) -> Capture:
    world = server.world
    for account in [PLATFORM, *(world.connect()["id"] for _ in range(2 * connected))]:
        fill(world, account)
    return Capture(server, streams, connected=connected, settings=SETTINGS)


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("run", RUNS)
async def test_nothing_is_held_by_a_capture_that_has_caught_up(
    server: StripeServer, holders: Holders, run: str, connected: bool
) -> None:
    capture = await filled(server, RUNS[run], connected=connected)
    has_caught_up, left = asyncio.Event(), dict[str, int]()
    loop = asyncio.get_running_loop()

    def caught_up() -> bool:
        if all(map(capture.caught_up, capture.streams)):
            loop.call_soon_threadsafe(has_caught_up.set)
        return bool(left)

    for changes in (False, True):
        if changes:
            for account in server.world.accounts:
                change(server.world, account)
        server.world.clock.advance(HOUR)
        has_caught_up.clear()
        session = asyncio.create_task(capture.session(caught_up))
        await asyncio.wait(
            [session, asyncio.create_task(has_caught_up.wait())], return_when="FIRST_COMPLETED"
        )
        held = await still_held(holders)
        session.cancel()
        await asyncio.wait([session])
        assert held == {}
        assert (await still_held(holders), running()) == ({}, [])


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("run", RUNS)
async def test_nothing_is_held_wherever_a_capture_is_stopped(
    server: StripeServer, holders: Holders, run: str, connected: bool
) -> None:
    capture = await filled(server, RUNS[run], connected=connected)
    for checkpoints in (1, 2, 4):
        await capture.session(capture.caught_up, checkpoints=checkpoints)
        assert (await still_held(holders), running()) == ({}, [])


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("status", [400, 500])
async def test_nothing_is_held_after_a_failure(
    world: World,
    server: StripeServer,
    holders: Holders,
    run: str,
    status: int,
) -> None:
    """Of one request of many."""
    capture = await filled(server, RUNS[run], connected=False)
    capture.settings = replace(
        SETTINGS, patience=timedelta(milliseconds=500), shortest_pause=timedelta(milliseconds=50)
    )
    server.faults.set(Fault("/v1/*", query="limit", status=status, message="Down", after=12, times=1))
    with contextlib.suppress(SystemExit):
        await capture.session(capture.caught_up)
    assert (await still_held(holders), running()) == ({}, [])
    assert world.clock.now() >= NOW


@on_virtual_time
async def test_first_failure_ends_the_others_before_it_is_raised() -> None:
    running = 0

    async def run(seconds: int, *, fails: bool = False) -> int:
        nonlocal running
        running += 1
        try:
            await asyncio.sleep(seconds)
            if fails:
                raise RuntimeError("first")
            return seconds
        finally:
            running -= 1

    async def source() -> AsyncIterator[int | Awaitable[int]]:
        for seconds in (5, 9):
            yield run(seconds, fails=True)

    with pytest.raises(RuntimeError):
        await side_by_side([run(9), run(5, fails=True)])
    assert running == 0
    with pytest.raises(RuntimeError):
        _ = [number async for number in in_order(source(), 2)]
    assert running == 0
    assert await side_by_side([run(2), run(1)]) == [2, 1]


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancellation_is_not_lost_where_a_failure_comes_with_it(turns: int) -> None:
    failing = asyncio.Event()

    async def fail() -> None:
        await failing.wait()
        raise RuntimeError("a failure")

    async def survive_failures() -> None:
        with contextlib.suppress(RuntimeError):
            await side_by_side([fail(), asyncio.sleep(9)])

    task = asyncio.create_task(survive_failures())
    await asyncio.sleep(0.01)
    failing.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    was_done = task.done()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() or was_done


async def both(work: Awaitable[None], other: Awaitable[None]) -> None:
    async def works() -> AsyncIterator[Awaitable[None] | None]:
        for each in (work, other):
            yield each

    async for _ in in_order(works(), 2):
        pass


async def shared(work: Coroutine[Any, Any, None], other: Coroutine[Any, Any, None]) -> None:
    other.close()
    await Readings[None]().get("key", lambda _: work, Urgency(Priority.CHANGES))


OWNERS: Final[dict[str, Callable[..., Awaitable[object]]]] = {
    "side by side": lambda *works: side_by_side(works),
    "in order": both,
    "shared": shared,
}


@pytest.mark.parametrize("owner", OWNERS.values(), ids=OWNERS)
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("cancellations", range(1, 4))
@on_virtual_time
async def test_what_is_cancelled_ends_before_its_owner_does_however_often_that_is_cancelled(
    owner: Callable[..., Awaitable[object]], fails: bool, cancellations: int
) -> None:
    """A capture that stops, perhaps while a failure ends what it concerns, and a write that takes a while."""
    ended = []

    async def end() -> None:
        await asyncio.sleep(5)
        ended.append("write")

    async def write() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await to_its_end(end())

    async def other() -> None:
        await asyncio.sleep(1)
        if fails:
            raise RuntimeError("a failure")

    async def own() -> None:
        try:
            await owner(write(), other())
        finally:
            ended.append("owner")

    task = asyncio.create_task(own())
    await asyncio.sleep(2)
    for _ in range(cancellations):
        task.cancel()
        await asyncio.sleep(1)
    await asyncio.wait([task])
    assert task.cancelled()
    assert ended == ["write", "owner"]


async def test_what_is_remembered_of_compared_lists_has_the_bytes_that_it_may_have(
    server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Other lists are forgotten first, then new objects of the list itself. One warning says so."""
    memories, settings = ListMemories(), replace(SETTINGS, remembered_bytes=5_000)
    async with StripeSession(server.world.key, base=server.url, settings=settings) as http:
        log, row = logging.getLogger("test"), {row.NAME: row for row in STREAMS}["ShippingRates"]
        for account in ("acct_1", "acct_2"):
            source = Source(http, log, row, account, None)
            for first in range(0, 30, 5):
                names = [f"shr_{number}" for number in range(first, first + 5)]
                memories.change(source, {name: Listed(b"digest", {}) for name in names})
                assert memories.size <= settings.remembered_bytes
                assert memories.of(source)
        assert {account for _, account in memories._lists} == {"acct_2"}
        memories.change(source, dict.fromkeys(memories.of(source)))
    assert (memories.size, memories._lists) == (0, {})
    assert len([line for line in caplog.records if "remembered in memory" in line.message]) == 1
