"""How long ago the oldest object of a list was created: found at few requests, whatever the start date."""

import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sandbox.stripe import Fault, StripeServer, World
from sandbox.stripe.odd import ODD
from source_stripe_native.api import source_of
from source_stripe_native.backfill.progress import Progress, oldest_second
from source_stripe_native.errors import ConnectorError, StripeError
from source_stripe_native.state.windows import Window
from source_stripe_native.stripe.client import StripeSession
from tests.capture import ROWS, UNLIMITED, Capture
from tests.conftest import NOW

LOG = logging.getLogger("oldest")
DAY = 86_400
YEAR = 365 * DAY
WHOLE = Window(NOW - 10 * YEAR, NOW)


@pytest.fixture
async def http(world: World, server: StripeServer) -> AsyncIterator[StripeSession]:
    patience = timedelta(seconds=1)
    async with StripeSession(world.key, base=server.url, settings=UNLIMITED, patience=patience) as session:
        yield session


async def look(
    http: StripeSession, known: int, stream: str = "Charges", suffix: str = "", window: Window = WHOLE
) -> int | None:
    params = list(ROWS[stream].VARIANTS[suffix].items())
    return await oldest_second(source_of(ROWS[stream], None, None, http, LOG), params, window, known)


@pytest.mark.parametrize("age", [DAY, 30 * DAY, YEAR, 9 * YEAR])
async def test_the_oldest_object_is_found_at_few_requests(
    world: World, server: StripeServer, http: StripeSession, age: int
) -> None:
    for number in range(20):
        world.create("charge", at=NOW - age * number // 19, event=False)
    found = await look(http, NOW)
    assert found is not None
    assert NOW - 1.11 * age <= found <= NOW - age
    assert len(server.journal) <= 20
    assert all(each.path == "/v1/charges" for each in server.journal)


async def test_a_variant_has_an_oldest_object_of_its_own(world: World, http: StripeSession) -> None:
    world.create("price", created=NOW - 5 * YEAR, active=False, event=False)
    world.create("price", created=NOW - 10 * DAY, event=False)
    found = await look(http, NOW, "Prices", "_active")
    assert found is not None
    assert NOW - 12 * DAY < found <= NOW - 10 * DAY


async def test_children_are_looked_for_in_the_list_of_their_parents(
    world: World, server: StripeServer, http: StripeSession
) -> None:
    world.create("invoice", at=NOW - YEAR, event=False)
    found = await look(http, NOW, "InvoiceLineItems")
    assert found is not None
    assert NOW - 1.11 * YEAR <= found <= NOW - YEAR
    assert set(server.journal.by_path()) == {"/v1/invoices"}


async def test_where_stripe_refuses_to_filter_nothing_is_known(
    world: World, server: StripeServer, http: StripeSession
) -> None:
    world.create("charge", at=NOW - DAY, event=False)
    server.faults.set(Fault("/v1/charges", status=400, message="Received unknown parameter: created"))
    assert await look(http, NOW) is None


@pytest.mark.parametrize("odd", ODD)
async def test_of_an_odd_answer_nothing_is_made_up(
    world: World, server: StripeServer, http: StripeSession, odd: str
) -> None:
    world.create("charge", at=NOW - DAY, event=False)
    server.faults.set(Fault("/v1/charges", odd=odd))
    with contextlib.suppress(ConnectorError):
        found = await look(http, NOW)
        assert found is None or WHOLE.start <= found < WHOLE.end


async def test_a_refusal_of_the_key_is_no_matter_of_progress(
    world: World, server: StripeServer, http: StripeSession
) -> None:
    server.faults.set(Fault("/v1/charges", status=401, code="api_key_expired", message="Expired API Key"))
    with pytest.raises(StripeError):
        await look(http, NOW)


@pytest.mark.parametrize(("stream", "connected"), [("Charges", False), ("Charges", True), ("Prices", False)])
async def test_a_long_backfill_counts_from_its_oldest_object(
    world: World, server: StripeServer, monkeypatch: pytest.MonkeyPatch, stream: str, connected: bool
) -> None:
    kind = {"Charges": "charge", "Prices": "price"}[stream]
    for number in range(40):
        world.create(kind, at=NOW - number * DAY, event=False)
    told: list[dict[str, Any]] = []
    add_page = Progress.add_page

    def watch(progress: Progress, *page: Any) -> None:
        add_page(progress, *page)
        if (status := progress.status()) is not None:
            told.append(status.fields())

    monkeypatch.setattr(Progress, "add_page", watch)
    settings = replace(UNLIMITED, page_size=2, pages_to_find_oldest=5)
    capture = Capture(
        server,
        [stream],
        connected=connected,
        config={"start_date": "2011-01-01T00:00:00Z"},
        settings=settings,
    )
    await capture.session(capture.caught_up)
    counted = len(ROWS[stream].VARIANTS)
    shares = [each["done"] for each in told if each["done"] is not None and each["documents"] > 10]
    assert shares == sorted(shares)
    assert 0.2 / counted < shares[0] - (counted - 1) / counted < 0.4 / counted, "six pages of twenty"
    assert len(server.journal.visits(limit="1")) <= 12
