"""The demo, captured: every stream of the shop has documents, and they are those of the shop."""

from collections.abc import Iterable

import pytest

from sandbox.stripe import Shop, StripeServer
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import Capture
from tests.conftest import NOW
from tests.test_streams import ALL, differences, refused

EMPTY = {"Persons"}
"""A stream of connected accounts alone."""
OTHERWISE = {"ExternalAccountCards", "ExternalBankAccount", "Reviews"}
"""Streams that are not compared: the shop's own external accounts, which are no connected account's, and
reviews, which Stripe lists only while they are open."""


def wrong(capture: Capture, *, changed: bool) -> Iterable[str]:
    found = {each: differences(capture, each, False, changed=changed) for each in ALL}
    return [text for stream, text in found.items() if text and stream not in OTHERWISE]


async def test_capture_of_the_shop_equals_the_shop_and_follows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop(now=NOW, days=70)
    async with StripeServer(shop.world) as server:
        monkeypatch.setenv(API_BASE_VARIABLE, server.url)
        capture = await Capture(server, streams=ALL).backfill()
        assert {each for each in ALL if not capture.last(each)} == EMPTY
        assert wrong(capture, changed=False) == []

        for _ in range(60):
            shop.world.clock.advance(3)
            shop.live()
        await capture.catch_up()
        assert wrong(capture, changed=True) == []
        assert refused(server) == []
