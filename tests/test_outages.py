"""While Stripe is down, everybody shares one patience; and a capture that is to stop stops in time, in the
middle of a retry too."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp import web
from estuary_cdk.capture import base_capture_connector

from sandbox.stripe import Fault, StripeServer, World
from source_stripe_native.errors import ConnectorError, StripeError
from source_stripe_native.stripe.attempts import Outage, Request
from source_stripe_native.stripe.client import Json, StripeSession
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import UNLIMITED, Capture
from tests.conftest import NOW
from tests.test_documents import logged
from tests.test_feed import Bindings, WorldsTime

LOG = logging.getLogger("test")
IMPATIENT = replace(
    UNLIMITED, patience=timedelta(milliseconds=300), outage_patience=timedelta(milliseconds=300)
)
SHORT_STOP = replace(UNLIMITED, stop_patience=timedelta(milliseconds=200))


# One patience for all


@pytest.mark.parametrize(
    ("happened", "now", "duration"),
    [
        ([], 100, 0),
        ([("failed", 10, 11)], 30, 20),
        ([("failed", 10, 11), ("failed", 40, 100)], 310, 300),
        # An attempt that left long after the last failure begins another outage.
        ([("failed", 10, 11), ("failed", 102, 103)], 104, 2),
        ([("failed", 10, 11), ("answered", 12)], 30, 0),
        ([("failed", 10, 11), ("answered", 12), ("failed", 20, 21)], 30, 10),
    ],
)
def test_an_outage_lasts_from_its_first_failed_attempt_to_any_answer(
    happened: list[tuple[Any, ...]], now: float, duration: float
) -> None:
    outage = Outage(longest_gap=90, warning_gap=60)
    for verb, *times in happened:
        getattr(outage, verb)(*times)
    assert outage.duration(now) == duration


def test_an_outage_is_warned_of_once_a_while_though_an_answer_comes_through() -> None:
    outage = Outage(longest_gap=90, warning_gap=60)
    told = []
    for now in range(0, 300, 7):
        outage.failed(now, now)
        told += [now] if outage.is_reported(now) else []
        outage.answered(now)
    assert told == [0, 63, 126, 189, 252]


async def test_all_requests_that_an_outage_fails_warn_once_together(
    world: World, server: StripeServer, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    server.faults.add(Fault(status=503, times=60))
    async with StripeSession(world.key, base=server.url, settings=UNLIMITED) as http:
        await asyncio.gather(
            *(http.get(LOG, f"/v1/customers/{n}") for n in range(20)), return_exceptions=True
        )
    assert len(server.journal) == 80
    warned = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warned) == 1


@pytest.mark.parametrize("down", [Fault(status=503), Fault(reset=True), Fault(odd="html")])
async def test_a_request_that_is_made_late_in_an_outage_is_tried_once(
    world: World, server: StripeServer, waits: list[float], down: Fault
) -> None:
    server.faults.add(down)
    async with StripeSession(world.key, base=server.url, settings=IMPATIENT) as http:
        with pytest.raises(ConnectorError):
            await http.get(LOG, "/v1/prices")
        assert len(server.journal) > 2
        server.journal.clear()
        with pytest.raises(ConnectorError):
            await http.get(LOG, "/v1/customers", account_id=world.connect()["id"])
        assert len(server.journal) == 1


@pytest.mark.parametrize("path", ["/v1/customers", "/v1/nothing"])
async def test_any_answer_ends_an_outage(
    world: World, server: StripeServer, waits: list[float], path: str
) -> None:
    server.faults.add(Fault("/v1/prices", status=503))
    async with StripeSession(world.key, base=server.url, settings=IMPATIENT) as http:
        for _ in range(2):
            with pytest.raises(StripeError, match="503"):
                await http.get(LOG, "/v1/prices")
            if path == "/v1/customers":
                await http.get(LOG, path)
            else:
                with pytest.raises(StripeError, match="404"):
                    await http.get(LOG, path)
            assert len(server.journal) > 3
            server.journal.clear()


@pytest.mark.parametrize("path", ["*", "/v1/prices"])
async def test_requests_that_fail_say_since_when_also_where_others_are_answered(
    world: World, server: StripeServer, path: str
) -> None:
    server.faults.add(Fault(path, status=503))
    async with StripeSession(world.key, base=server.url, settings=UNLIMITED) as http:
        assert http.failing_since() is None
        failing = asyncio.create_task(http.get(LOG, "/v1/prices"))
        while http.failing_since() is None:
            await asyncio.sleep(0.01)
            assert not failing.done()
        if path != "*":
            await http.get(LOG, "/v1/customers")
        since = http.failing_since()
        assert since is not None
        assert timedelta() < http.now() - since < timedelta(seconds=30)
        server.faults.set()
        await failing
        assert http.failing_since() is None


class Counting(WorldsTime):
    """A session that counts the requests that it is asked for, retries not included."""

    asked = 0

    async def ask(self, log: logging.Logger, request: Request) -> Json:
        self.asked += 1
        return await super().ask(log, request)


@pytest.fixture
async def http(server: StripeServer) -> AsyncIterator[Counting]:
    async with Counting(server, IMPATIENT) as session:
        yield session


@pytest.mark.parametrize("status", [503, 403])
async def test_bindings_that_wait_for_one_reading_share_its_failure(
    world: World, server: StripeServer, http: Counting, waits: list[float], status: int
) -> None:
    bindings = Bindings(server, http)
    opened = bindings.open({"Prices": 0, "Customers": 0, "Coupons": 0, "Charges": 0})
    new = world.create("customer")["id"]
    await bindings.pass_time(120)
    server.faults.add(Fault("*" if status == 503 else "/v1/events", status=status, message="Down"))
    http.asked = 0
    errors = await asyncio.gather(*(each.sweep() for each in opened), return_exceptions=True)
    # One more asks whether Stripe answers anybody.
    assert http.asked == 1 + (status == 503)
    assert all(isinstance(each, StripeError) and "Down" in str(each) for each in errors)
    assert len({id(each) for each in errors}) == 4, "each may be explained on its own"
    server.faults.set()
    assert await opened[1].catch_up() == {new}


# Stopping


class SilentServer(StripeServer):
    """Never answers for charges."""

    async def _serve(self, http: web.BaseRequest) -> web.StreamResponse:
        if http.path == "/v1/charges":
            await self.left.wait()
        return await super()._serve(http)

    async def __aenter__(self) -> "SilentServer":
        self.left = asyncio.Event()
        await super().__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        self.left.set()
        await super().__aexit__(*raised)


@pytest.mark.parametrize("is_silent", [True, False])
@pytest.mark.parametrize("connected", [True, False])
async def test_a_capture_that_another_binding_ends_does_not_wait_for_a_retry(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, connected: bool, is_silent: bool
) -> None:
    world = World(now=NOW)
    world.create("charge", event=False)
    async with (SilentServer if is_silent else StripeServer)(world) as server:
        monkeypatch.setenv(API_BASE_VARIABLE, server.url)
        server.faults.set(
            Fault("/v1/charges", status=503, headers={"Retry-After": "60"}),
            Fault("/v1/customers", status=401, code="api_key_expired", message="Expired API Key provided"),
        )
        capture = Capture(server, ["Charges", "Customers"], connected=connected, settings=SHORT_STOP)
        began = time.monotonic()
        with pytest.raises(SystemExit):
            await capture.session()
        assert time.monotonic() - began < 10
    assert logged(caplog, "revoked or has expired")
    assert len(logged(caplog, "stopped in the middle")) == 1
    assert "backfill" in capture.binding_state("Charges")


async def test_a_stop_by_the_clock_in_the_middle_of_a_retry_is_no_error_and_loses_nothing(
    world: World, server: StripeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {world.create("charge", event=False)["id"] for _ in range(3)}
    rule = Fault("/v1/charges", status=503, headers={"Retry-After": "60"})
    server.faults.set(rule)
    capture = Capture(server, ["Charges"], settings=SHORT_STOP)
    monkeypatch.setattr(base_capture_connector, "PERIODIC_RESTART_INTERVAL", 0.3)
    began = time.monotonic()
    await capture.session()
    assert server.faults.fired(rule)
    assert time.monotonic() - began < 10
    monkeypatch.undo()
    monkeypatch.setenv(API_BASE_VARIABLE, server.url)
    server.faults.set()
    await capture.session(lambda: capture.last("Charges").keys() == made)


async def test_what_ends_by_itself_is_not_cancelled(
    world: World, server: StripeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    capture = Capture(server, ["Charges"])
    monkeypatch.setattr(base_capture_connector, "PERIODIC_RESTART_INTERVAL", 0.3)
    await capture.session()
    assert not logged(caplog, "stopped in the middle")
