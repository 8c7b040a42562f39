"""Back-pressure: a reader that stalls stops the requests, and loses nothing; a page that grows is read and
written object by object."""

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from estuary_cdk.capture import task
from estuary_cdk.capture.task import Task
from estuary_cdk.flow import ConnectorState as AnyState

from sandbox.stripe import PLATFORM, StripeServer, World
from sandbox.stripe.faults import Fault
from sandbox.stripe.routes import Request, Response
from source_stripe_native.api import source_of
from source_stripe_native.backfill.steps import Backfill
from source_stripe_native.backfill.superseded import SupersededIds
from source_stripe_native.flow.output import closing
from source_stripe_native.settings import Settings
from source_stripe_native.state.windows import floor
from source_stripe_native.streams import STREAMS
from source_stripe_native.stripe.client import StripeSession
from tests.capture import UNLIMITED, Capture, Json, plain
from tests.cdk_task import on_virtual_time, running_capture
from tests.conftest import NOW

DAY: Final = 86_400
START: Final = datetime(2020, 1, 1, tzinfo=UTC)
ROWS: Final = {each.NAME: each for each in STREAMS}
PADDING: Final = {f"note_{number}": "x" * 100 for number in range(10)}
PAGE: Final = 20
"""Objects of an account's only page, of at least a thousand bytes each."""
ACCOUNTS: Final = 12
LISTED: Final = {
    "Charges": "charge",
    "Coupons": "coupon",
    "Customers": "customer",
    "Invoices": "invoice",
    "Payouts": "payout",
    "Plans": "plan",
    "Products": "product",
    "Refunds": "refund",
}
"""Streams that have a list of their own, and the kinds of their objects."""


@dataclass
class Stall:
    """A reader that stops at the first checkpoint with documents until it goes on, and then reads until the
    capture has caught up."""

    capture: Capture
    before: int
    """The number of documents captured before."""
    has_begun: threading.Event = field(default_factory=threading.Event)
    is_over: threading.Event = field(default_factory=threading.Event)

    def __call__(self) -> bool:
        if len(self.capture.documents) > self.before:
            self.has_begun.set()
            self.is_over.wait(20)
        return all(self.capture.caught_up(each) for each in self.capture.streams)


@asynccontextmanager
async def stalled(capture: Capture) -> Any:
    """The capture while its reader has stalled and nothing more happens; afterwards the reader goes on until
    the capture has caught up."""
    stall = Stall(capture, len(capture.documents))
    session = asyncio.create_task(capture.session(stall))
    try:
        while not (stall.has_begun.is_set() or session.done()):  # noqa: ASYNC110 - a thread makes it so
            await asyncio.sleep(0.01)
        requests = -1
        while requests < len(capture.server.journal):
            requests = len(capture.server.journal)
            await asyncio.sleep(0.1)
        yield
    finally:
        stall.is_over.set()
        await session


def filled(world: World, accounts: int, kinds: Sequence[str]) -> None:
    """Accounts with a page of objects of each kind, a day old."""
    for account in [world.connect(created=NOW - 2 * DAY)["id"] for _ in range(accounts)] or [PLATFORM]:
        for kind in kinds:
            for number in range(PAGE):
                at = NOW - DAY + number
                world.create(kind, account, at=at, event=False, metadata=PADDING)


def expected(world: World, streams: Sequence[str]) -> dict[str, dict[str, Json]]:
    """What the streams' tables have to hold in the end."""
    return {
        stream: {each["id"]: each for account in world.accounts for each in world.list_all(kind, account)}
        for stream, kind in LISTED.items()
        if stream in streams
    }


def captured(capture: Capture) -> dict[str, dict[str, Json]]:
    return {
        stream: {key: plain(each) for key, each in capture.last(stream).items()} for stream in capture.streams
    }


@pytest.mark.parametrize("connected", [False, True])
async def test_reader_that_stalls_stops_the_backfill_within_its_bytes_and_loses_nothing(
    world: World, server: StripeServer, connected: bool
) -> None:
    streams = ["Charges"] if connected else ["Charges", "Coupons", "Customers", "Payouts", "Plans", "Refunds"]
    filled(world, ACCOUNTS if connected else 0, [LISTED[each] for each in streams])
    # Three pages of a backfill.
    settings = replace(UNLIMITED, page_bytes=20_000, unwritten_bytes=80_000, change_bytes=20_000)
    capture = Capture(server, streams, connected=connected, settings=settings)
    async with stalled(capture):
        pages = [
            each
            for each in server.journal.visits("/v1/*", limit="100")
            if each.path not in ("/v1/events", "/v1/accounts", "/v1/test_helpers/test_clocks")
            # With connected accounts the platform's own page is empty.
            and not (connected and each.account == PLATFORM)
        ]
        assert 1 <= len(pages) <= 3
        # An object that was read and is still to be written changes.
        kind, account = LISTED[streams[0]], pages[0].account
        changed = world.list_all(kind, account)[0]["id"]
        world.clock.advance(10)
        world.update(kind, changed, account, metadata={"note": "newer"})
        world.clock.advance(110)
    assert captured(capture) == expected(world, streams)


async def test_reader_that_stalls_stops_the_changes_within_their_bytes_and_loses_nothing(
    world: World, server: StripeServer
) -> None:
    filled(world, ACCOUNTS, ["charge"])
    settings = replace(
        UNLIMITED, window_bytes=50_000, unwritten_bytes=400_000, change_bytes=100_000, least_listed=1000
    )
    capture = Capture(server, ["Charges"], connected=True, settings=settings)
    await capture.session(capture.caught_up)
    for account in world.accounts[1:]:
        for each in world.list_all("charge", account):
            world.update("charge", each["id"], account, metadata={"note": "newer"}, event=False)
            # An event in an older version: each object is read again.
            world.tell("charge.updated", "charge", each["id"], account, api_version="2022-11-15")
    world.clock.advance(120)
    server.journal.clear()
    async with stalled(capture):
        read = {each.account for each in server.journal.visits("/v1/charges/*")}
        assert 1 <= len(read) <= 3
    assert captured(capture) == expected(world, ["Charges"])


@pytest.mark.parametrize("connected", [False, True])
async def test_pages_that_are_all_larger_than_the_budget_are_read_one_by_one(
    world: World, server: StripeServer, connected: bool
) -> None:
    accounts = [PLATFORM, *(world.connect(created=NOW - 2 * DAY)["id"] for _ in range(2))]
    for account in accounts if connected else accounts[:1]:
        for number in range(8):
            at = NOW - DAY + 1000 * number
            customer = world.create("customer", account, at=at, event=False)["id"]
            for kind in ("card", "bank_account", "payment_method"):
                world.create(kind, account, at=at, event=False, customer=customer)
            world.create("invoice", account, at=at, event=False, lines=12)
    kinds = {"Cards": "card", "BankAccounts": "bank_account", "PaymentMethods": "payment_method"}
    kinds |= {"Customers": "customer", "Invoices": "invoice", "InvoiceLineItems": "line_item"}
    settings = replace(
        UNLIMITED,
        unwritten_bytes=1,
        change_bytes=0,
        page_size=3,
        concurrent_parents=2,
        slice_surplus=10**9,
        pages_to_divide=1,
    )
    capture = Capture(server, list(kinds), connected=connected, settings=settings)
    await capture.session(lambda: all(capture.caught_up(each) for each in capture.streams))
    for stream, kind in kinds.items():
        found = (each for account in world.accounts for each in world.list_all(kind, account))
        assert capture.last(stream).keys() == {each["id"] for each in found}, stream


# One page that grows


class Watched(StripeServer):
    """Calls `watch` with the path of each request before it is answered."""

    watch: Callable[[str], None] = staticmethod(lambda _: None)

    def _answer(self, request: Request, account: str, firing: list[Fault]) -> Response:
        self.watch(request.path)
        return super()._answer(request, account, firing)


@asynccontextmanager
async def session(server: StripeServer, settings: Settings = UNLIMITED) -> Any:
    async with StripeSession(
        server.world.key, base=server.url, version=server.world.api_version, settings=settings
    ) as http:
        yield http


def backfill(stream: str, http: StripeSession, superseded: SupersededIds | None = None) -> Any:
    superseded = SupersededIds() if superseded is None else superseded
    cutoff = datetime.fromtimestamp(NOW, tz=UTC)
    log = logging.getLogger("test")
    source = source_of(ROWS[stream], PLATFORM, None, http, log)
    backfill = Backfill(source, floor(START), ROWS[stream].list_params(), superseded=superseded)
    return backfill.fetch(log, None, cutoff)


@pytest.mark.parametrize("stream", ["Invoices", "InvoiceLineItems"])
async def test_page_that_grows_has_few_of_its_objects_in_memory_at_once(world: World, stream: str) -> None:
    """The others are bytes."""
    for number in range(10):
        world.create("invoice", at=NOW - DAY + number, event=False, lines=30)
    first = world.list_all("invoice")[-1]["id"]
    seen: list[int] = []

    def watch(path: str) -> None:
        if path == f"/v1/invoices/{first}/lines":
            gc.collect()
            lines = (each for each in gc.get_objects() if type(each) is dict)
            seen.append(sum(each.get("object") == "line_item" for each in lines))

    async with Watched(world) as server, session(server, replace(UNLIMITED, concurrent_parents=1)) as http:
        server.watch = watch
        count = 0
        async for each in backfill(stream, http):
            count += 30 if isinstance(each, dict) and stream == "Invoices" else isinstance(each, dict)
    assert count == 300
    # The lines of one invoice that were read, and those that it shows itself.
    assert seen
    assert max(seen) <= 2 * 30 + 2 * 10


async def test_object_that_changes_while_its_page_grows_is_left_out_of_the_page(world: World) -> None:
    """Wherever on the page it is: the incremental task has captured it in a newer version."""
    found = [world.create("invoice", at=NOW - DAY + n, event=False, lines=20)["id"] for n in range(3)]
    superseded = SupersededIds()

    def watch(path: str) -> None:
        # The last one is read when the first one has been completed long since.
        if path == f"/v1/invoices/{found[0]}/lines":
            superseded.add(("Invoices", PLATFORM), found[2])

    async with Watched(world) as server, session(server) as http:
        server.watch = watch
        documents = [each["id"] async for each in backfill("Invoices", http, superseded)]
    assert documents == [found[1], found[0]]


@pytest.mark.parametrize("page_size", [2, 4])
async def test_bytes_of_a_page_stay_reserved_until_its_checkpoint_is_written(
    server: StripeServer, page_size: int
) -> None:
    """With a cursor after it, or after the last page without one."""
    for number in range(4):
        server.world.create("charge", at=NOW - DAY + number, event=False)
    async with session(server, replace(UNLIMITED, page_size=page_size)) as http:
        held: list[int] = []

        async def read() -> None:
            held.extend([http.page_budget.reserved async for _ in backfill("Charges", http)])
            if page_size == 4:
                # The loop writes its checkpoint here.
                held.append(http.page_budget.reserved)

        await asyncio.create_task(read())
        assert (len(held), len(set(held))) == (page_size + 1, 1)
        assert 0 < held[0] < http.settings.page_bytes
        await asyncio.sleep(0)
        assert http.page_budget.reserved == 0


@on_virtual_time
async def test_buffer_of_a_task_that_has_ended_is_closed() -> None:
    ended: list[Task] = []

    async def end(task: Task) -> None:
        ended.append(task)

    async def fail(task: Task) -> None:
        ended.append(task)
        raise RuntimeError("child")

    async with running_capture() as capture:
        for child in (end, fail):
            capture.task.spawn_child(child.__name__, closing(child))
    assert [task._buffer.closed for task in ended] == [True, True]


def test_the_class_of_checkpoints_is_not_made_anew_after_a_collection_of_garbage() -> None:
    checkpoint = task.Response[Any, Any, AnyState]
    kept = weakref.ref(checkpoint)
    del checkpoint
    gc.collect()
    assert kept() is not None
