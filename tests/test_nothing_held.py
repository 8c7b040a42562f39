"""When nothing is under way, nothing is held: no reservation, no record of captured ids, no reading and no
task, whatever kind of run it was and however it ended."""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import pytest

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.events.list_memory import ListMemories
from source_stripe_native.events.resolutions import in_order
from source_stripe_native.flow.byte_budget import ByteBudget
from source_stripe_native.flow.side_by_side import side_by_side
from source_stripe_native.models import STREAMS
from source_stripe_native.state.remembered_lists import Listed
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Source
from source_stripe_native.stripe.readings import Readings
from tests.capture import UNLIMITED, Capture
from tests.cdk_task import on_virtual_time
from tests.conftest import NOW
from tests.test_steps import change, fill

HOUR: Final = 3_600
PACKAGES: Final = ("source_stripe_native", "estuary_cdk")
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


@dataclass
class Holders:
    """All that the captures of a test can hold anything by."""

    budgets: list[ByteBudget] = field(default_factory=list)
    readings: list[Readings[Any]] = field(default_factory=list)
    superseded: list[SupersededIds] = field(default_factory=list)

    def held(self) -> dict[str, int]:
        return {
            "bytes": sum(budget.reserved for budget in self.budgets),
            "who wait for bytes": sum(len(budget._waiting) for budget in self.budgets),
            "readings": sum(readings.under_way for readings in self.readings),
            "records": sum(superseded.records for superseded in self.superseded),
        }


@pytest.fixture
def holders(monkeypatch: pytest.MonkeyPatch) -> Holders:
    found = Holders()

    def watch(cls: type, instances: list[Any]) -> None:
        made = cls.__init__  # type: ignore[misc]

        def make(self: Any, *args: Any, **options: Any) -> None:
            made(self, *args, **options)
            instances.append(self)

        monkeypatch.setattr(cls, "__init__", make)

    watch(ByteBudget, found.budgets)
    watch(Readings, found.readings)
    watch(SupersededIds, found.superseded)
    return found


def running() -> list[str]:
    """The tasks of a capture that are left, but for those that the CDK leaves to the end of the process."""
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    names = (
        coroutine.__qualname__
        for coroutine in coroutines
        if any(package in coroutine.cr_code.co_filename for package in PACKAGES)
    )
    return [
        name for name in names if not name.startswith(("BaseCaptureConnector.handle.", "ConnectorStatus."))
    ]


async def ends(holders: Holders) -> dict[str, int]:
    """What is still held after a moment."""
    # What a task of the CDK's leaves of a generator when it is cancelled.
    gc.collect()
    for _ in range(100):
        if not any(holders.held().values()):
            break
        await asyncio.sleep(0.02)
    return {what: number for what, number in holders.held().items() if number}


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
        held = await ends(holders)
        session.cancel()
        await asyncio.wait([session])
        assert held == {}
        assert (await ends(holders), running()) == ({}, [])


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("run", RUNS)
async def test_nothing_is_held_wherever_a_capture_is_stopped(
    server: StripeServer, holders: Holders, run: str, connected: bool
) -> None:
    capture = await filled(server, RUNS[run], connected=connected)
    for checkpoints in (1, 2, 4):
        await capture.session(lambda: all(map(capture.caught_up, capture.streams)), checkpoints=checkpoints)
        assert (await ends(holders), running()) == ({}, [])


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("status", [400, 500])
async def test_nothing_is_held_after_a_failure(
    world: World,
    server: StripeServer,
    holders: Holders,
    monkeypatch: pytest.MonkeyPatch,
    run: str,
    status: int,
) -> None:
    """Of one request of many."""
    capture = await filled(server, RUNS[run], connected=False)
    capture.settings = replace(SETTINGS, patience=timedelta(milliseconds=1))
    server.faults.set(Fault("/v1/*", query="limit", status=status, message="Down", after=12, times=1))
    with contextlib.suppress(SystemExit):
        await capture.session(lambda: all(map(capture.caught_up, capture.streams)))
    assert (await ends(holders), running()) == ({}, [])
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
