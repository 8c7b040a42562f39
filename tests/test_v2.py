"""The lists of API v2: pages by their address, times as text, included fields, and thin events, whose object
is read once for each window."""

import logging
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Final, cast

import pytest
from estuary_cdk.capture.common import Triggers

from sandbox.stripe import StripeServer, World
from source_stripe_native.api import fetch_incremental
from source_stripe_native.capture.stream_binding import CaptureContext, StreamBinding
from source_stripe_native.models import STREAMS
from source_stripe_native.streams.row import BaseStripeObject, TimeRange
from tests.capture import Capture
from tests.conftest import NOW
from tests.test_feed import LOG, session

DAY: Final = 86_400
V2: Final = [each for each in STREAMS if each.API == "v2"]
METHODS: Final = "/v2/money_management/payout_methods"


def test_there_are_eighteen_of_them_and_none_is_enabled_by_default() -> None:
    assert len(V2) == 18
    assert all(each.DISABLED and each.KEY == ["/account_id", "/id"] for each in V2)


async def test_pages_go_on_by_their_address(world: World, server: StripeServer) -> None:
    made = {world.create("v2.money_management.payout_method", event=False)["id"] for _ in range(250)}
    capture = await Capture(server, ["V2PayoutMethods"]).backfill()
    assert capture.last("V2PayoutMethods").keys() == made
    visits = [each for each in server.journal if each.path == METHODS]
    assert ["page" in each.query for each in visits] == [False, True, True]
    assert all(each.version for each in server.journal if each.path.startswith("/v2/"))
    created = {each["created"] for each in capture.last("V2PayoutMethods").values()}
    assert created == {"2026-05-28T20:26:40.000Z"}, "as Stripe sends it"


async def test_only_what_was_created_since_the_start_date_is_read(world: World, server: StripeServer) -> None:
    world.create("v2.money_management.transaction", at=NOW - 400 * DAY, event=False)
    young = world.create("v2.money_management.transaction", at=NOW - DAY, event=False)["id"]
    capture = await Capture(
        server, ["V2Transactions"], config={"start_date": "2026-01-01T00:00:00Z"}
    ).backfill()
    assert list(capture.last("V2Transactions")) == [young]
    (query,) = [each.query for each in server.journal if each.path.endswith("/transactions")]
    assert query["created[gte]"] == "2026-01-01T00:00:00Z"


async def test_an_object_is_read_once_for_all_thin_events_of_a_window(
    world: World, server: StripeServer
) -> None:
    changed, left = (world.create("v2.money_management.payout_method", event=False)["id"] for _ in range(2))
    capture = await Capture(server, ["V2PayoutMethods"]).backfill(pause=10)
    for _ in range(3):
        world.update("v2.money_management.payout_method", changed, archived=True)
        world.update("v2.money_management.payout_method", changed, archived=False)
    new = world.create("v2.money_management.payout_method")["id"]
    server.journal.clear()
    documents = await capture.catch_up()
    assert sorted(each["id"] for each in documents) == sorted([changed, new])
    reads = [each.path for each in server.journal if each.path.startswith(f"{METHODS}/")]
    assert sorted(reads) == sorted([f"{METHODS}/{changed}", f"{METHODS}/{new}"])
    assert left not in {each["id"] for each in documents}


async def test_a_person_that_is_gone_is_a_tombstone(world: World, server: StripeServer) -> None:
    person = world.create("v2.core.account_person", event=False)["id"]
    capture = await Capture(server, ["V2CoreAccountPersons"]).backfill()
    assert list(capture.last("V2CoreAccountPersons")) == [person]
    world.clock.advance(10)
    world.delete("v2.core.account_person", person)
    (document,) = await capture.catch_up()
    assert (document["id"], document["_meta"]["op"]) == (person, "d")
    assert document["object"] == "v2.core.account_person"


@pytest.mark.parametrize("row", [row for row in V2 if row.THIN_EVENTS], ids=lambda row: row.NAME)
async def test_a_cursor_from_before_events_are_kept_takes_a_new_backfill(
    server: StripeServer, row: type[BaseStripeObject]
) -> None:
    async with session(server) as http:
        cursor = datetime.fromtimestamp(NOW - 31 * DAY, tz=UTC)
        assert [each async for each in fetch_incremental(row, None, None, http, LOG, cursor)] == [
            Triggers.BACKFILL
        ]


async def test_an_account_is_read_with_the_fields_that_have_to_be_included(
    world: World, server: StripeServer
) -> None:
    account = world.create("v2.core.account", event=False)["id"]
    world.create("v2.core.account", closed=True, event=False)
    capture = await Capture(server, ["V2CoreAccounts"]).backfill()
    assert len(capture.last("V2CoreAccounts")) == 2, "closed ones too"
    (visit,) = [each for each in server.journal if each.path == f"/v2/core/accounts/{account}"]
    assert "identity" in visit.query.values()
    assert "requirements" in visit.query.values()


async def test_what_the_account_lacks_is_left_out_in_one_line(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    world.unavailable |= {"money management", "v2 accounts", "product catalog imports"}
    found = {each["recommendedName"] for each in await Capture(server).discover()}
    assert found & {each.NAME for each in V2} == {"V2CoreEvents", "V2CoreEventDestinations"}
    (line,) = [each.message for each in caplog.records if "left out" in each.message]
    assert "V2Transactions" in line


def test_a_time_in_a_query_is_text() -> None:
    by = TimeRange(as_text=True)
    assert by.params(0, 1) == [
        ("created[gte]", "1970-01-01T00:00:00Z"),
        ("created[lt]", "1970-01-01T00:00:01Z"),
    ]


def test_posts_are_relied_on_for_lists_of_v1_alone() -> None:
    """Those of v2 wait no longer in an account of which Stripe posts whatever happens."""
    reader = SimpleNamespace(is_trusted=lambda _: True)
    context = cast(CaptureContext, SimpleNamespace(notice_reader=reader))
    bindings = [StreamBinding(row, context) for row in STREAMS]
    assert [each.row for each in bindings if not each.is_trusted("acct_1")] == V2
