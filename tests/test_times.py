"""Times that cannot be: a cursor ahead of Stripe's clock, a start date before Stripe, a clock that stands
still. A capture goes on as if they were the nearest time that can be."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from sandbox.stripe import PLATFORM, StripeServer, World
from source_stripe_native.api import fetch_incremental
from source_stripe_native.models import STREAMS
from source_stripe_native.stripe.account_directory import own_account_id
from source_stripe_native.stripe.client import StripeSession
from tests.capture import UNLIMITED, Capture, Json
from tests.conftest import NOW

LOG: Final = logging.getLogger("times")
STREAMS_OF_TEST: Final = {"Products": "product", "Coupons": "coupon"}
AHEAD: Final = {"seconds": 5, "an hour": 3_600, "a year": 365 * 86_400}


def at(seconds: int) -> str:
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat().replace("+00:00", "Z")


def state_of(stream_times: dict[str, dict[str, int]], connected: bool, backfilling: bool) -> Json:
    bindings: Json = {}
    for stream, times in stream_times.items():
        incs = {account: {"cursor": at(each)} for account, each in times.items()}
        backfills = {account: {"cutoff": at(each)} for account, each in times.items()}
        own = (
            {"inc": incs, "backfill": backfills}
            if connected
            else {"inc": incs[PLATFORM], "backfill": backfills[PLATFORM]}
        )
        if not backfilling:
            del own["backfill"]
        bindings[stream] = own | {"last_initialized": at(0)}
    return {"bindingStateV1": bindings}


def future(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.message for each in caplog.records if "lie in the future" in each.message]


@pytest.mark.parametrize("backfilling", [False, True])
@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("ahead", AHEAD.values(), ids=AHEAD)
async def test_a_time_in_the_future_is_taken_as_now_and_stops_no_other_binding(
    world: World,
    server: StripeServer,
    caplog: pytest.LogCaptureFixture,
    ahead: int,
    connected: bool,
    backfilling: bool,
) -> None:
    accounts = [PLATFORM, *(world.connect()["id"] for _ in range(2))] if connected else [PLATFORM]
    wrong = accounts[-2:]
    times = {account: ahead if account in wrong else -100 for account in accounts}
    streams = list(STREAMS_OF_TEST)
    capture = Capture(
        server,
        streams,
        connected=connected,
        state=state_of({"Products": times, "Coupons": dict.fromkeys(accounts, -100)}, connected, backfilling),
    )
    new: dict[str, set[str]] = {each: set() for each in streams}

    def change() -> None:
        world.clock.advance(1)
        for stream, kind in STREAMS_OF_TEST.items():
            new[stream] |= {world.create(kind, account)["id"] for account in accounts}
        world.clock.advance(120)

    async def captured() -> None:
        await capture.session(
            lambda: all(new[each] <= capture.last(each).keys() for each in streams), seconds=8
        )

    await capture.session(checkpoints=1)
    change()
    await captured()
    change()
    await captured()
    lines = future(caplog)
    if ahead < 60:
        assert lines == []
    else:
        (line,) = lines
        assert line.startswith("Products: ")
        assert line.endswith(f"Accounts: {', '.join(wrong)}")


# Start dates


@pytest.mark.parametrize(
    "start", ["1969-12-31T23:59:59Z", "1900-01-01T00:00:00+05:30", "0001-01-01T00:00:00+14:00"]
)
@pytest.mark.parametrize("connected", [False, True])
async def test_a_start_date_before_the_epoch_is_the_epoch(
    world: World, server: StripeServer, start: str, connected: bool
) -> None:
    streams = ["Products", "Prices", "Persons", "FilesLink", "Events"]
    if connected:
        world.connect()
    world.create("product", at=1, event=False)
    world.create("product", event=False)
    capture = Capture(server, streams, connected=connected, config={"start_date": start})
    await capture.session(capture.caught_up)
    assert len(capture.last("Products")) == 2
    sent = [each.query["created[gte]"] for each in server.journal if "created[gte]" in each.query]
    assert sent
    assert all(int(each) >= 0 for each in sent)


@pytest.mark.parametrize(
    "cursor", ["0001-01-01T00:00:00+14:00", "1969-12-31T23:59:59.5-11:59", "1970-01-01T00:00:00Z"]
)
async def test_a_polled_list_is_read_from_any_cursor(world: World, server: StripeServer, cursor: str) -> None:
    file = world.create("file", at=NOW - 1000, event=False)["id"]
    capture = Capture(server, ["Files"], config={"advanced": {"incremental_window_size": "P40000D"}})
    capture.state = {"bindingStateV1": {"Files": {"inc": {"cursor": cursor}, "last_initialized": at(0)}}}
    await capture.session(capture.caught_up)
    assert capture.last("Files").keys() == {file}


# A clock that stands still


@pytest.fixture
async def http(server: StripeServer) -> AsyncIterator[StripeSession]:
    settings = replace(UNLIMITED, longest_silence=timedelta(milliseconds=50))
    async with StripeSession(server.world.key, base=server.url, settings=settings) as http:
        await own_account_id(http, LOG)
        await http.refresh_clock(LOG)
        yield http


@pytest.mark.parametrize("stream", ["Products", "Files"])
async def test_stripe_is_asked_for_its_time_after_a_silence_without_a_window_to_read(
    server: StripeServer, http: StripeSession, stream: str
) -> None:
    (row,) = [each for each in STREAMS if stream == each.NAME]
    cursor = datetime.fromtimestamp(NOW, UTC)

    async def fetch() -> list[Any]:
        return [each async for each in fetch_incremental(row, PLATFORM, None, http, LOG, cursor)]

    server.journal.clear()
    assert await fetch() == []
    assert list(server.journal) == [], "Stripe has just answered"
    await asyncio.sleep(0.06)
    assert await fetch() == []
    assert await fetch() == []
    assert [(each.path, each.query) for each in server.journal] == [("/v1/account", {})]
