"""Polled lists of which more than one stream is made: each page is read once, and each stream's documents are
as if it had read the list alone."""

import logging
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Final

import pytest

from sandbox.stripe import PLATFORM, StripeServer, World
from source_stripe_native.models import STREAMS
from source_stripe_native.settings import Settings
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Page, Source
from source_stripe_native.stripe.shared_pages import SharedPages
from tests.capture import Capture, Json
from tests.conftest import NOW
from tests.test_feed import followed

ROWS: Final = {each.NAME: each for each in STREAMS}
SHARED: Final = {
    "/v1/checkout/sessions": ["CheckoutSessions", "CheckoutSessionsLine"],
    "/v1/radar/value_lists": ["ValueLists", "ValueListItems"],
}
DAY: Final = 86_400


def populate(world: World, account: str, at: int) -> None:
    world.create("checkout.session", account, at=at, line_items=3, event=False)
    world.create("radar.value_list", account, at=at, list_items=3, event=False)


async def captured(
    server: StripeServer, streams: list[str], accounts: list[str], *, connected: bool
) -> dict[str, dict[str, Json]]:
    """The documents by stream and id of the windows that are due."""
    capture = Capture(server, streams, connected=connected, interval="PT5M")
    capture.state = followed(capture, accounts)
    await capture.session(capture.caught_up)
    return {each: capture.last(each) for each in streams}


@pytest.mark.parametrize("connected", [False, True])
@pytest.mark.parametrize("path", SHARED)
async def test_a_list_that_two_streams_are_made_of_is_read_once(
    world: World, server: StripeServer, path: str, connected: bool
) -> None:
    accounts = [PLATFORM, *(world.connect()["id"] for _ in range(2 * connected))]
    for account in accounts:
        populate(world, account, NOW - DAY)
        populate(world, account, NOW + 5)
    world.clock.advance(400)
    alone: dict[str, dict[str, Json]] = {}
    for stream in SHARED[path]:
        alone |= await captured(server, [stream], accounts, connected=connected)
    server.journal.clear()
    together = await captured(server, SHARED[path], accounts, connected=connected)
    assert together == alone
    for documents in together.values():
        assert len(documents) in (len(accounts), 3 * len(accounts))
        assert not any("line_items" in each for each in documents.values())
    visits = Counter(each.account for each in server.journal.visits(path) if each.query.get("limit") == "100")
    assert visits == dict.fromkeys(accounts, 1)


@pytest.mark.parametrize(
    ("settings", "readings"),
    [(Settings(), 2), (Settings(shared_list_bytes=1), 4), (Settings(shared_list_retention=timedelta()), 4)],
)
async def test_what_is_kept_is_bounded(server: StripeServer, settings: Settings, readings: int) -> None:
    """In bytes and in time."""
    shared = SharedPages(settings.shared_list_retention, settings.shared_list_bytes)
    for stream in SHARED["/v1/radar/value_lists"]:
        shared.register(ROWS[stream])
    read: list[int] = []

    async def page(number: int, _: Source) -> Page:
        read.append(number)
        return Page([{"id": f"rsl_{number}"}], None)

    async with StripeSession(server.world.key, base=server.url) as http:
        source = Source(http, logging.getLogger("test"), ROWS["ValueListItems"], PLATFORM, None)
        for number in (1, 2, 1, 2):
            found = await shared.read(source, number, partial(page, number))
            assert [*found.objects] == [{"id": f"rsl_{number}"}]
    assert len(read) == readings
