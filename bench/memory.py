"""Memory while the output is read slowly or not at all, and over pages that grow as they are completed.

What is read and not yet written is bounded, so a reader decides how fast a capture goes, not how much memory
it takes. The rate limits are lifted. Nothing may be lost afterwards: every object of the world is captured.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Final

import orjson

from bench.accounts import PER_ACCOUNT, platform
from bench.figures import Figures
from bench.run import CAPTURED, Json, Reader, Task, Until, Written, capture, lines
from sandbox.stripe import StripeServer, World
from sandbox.stripe.kinds import KINDS
from source_stripe_native.models import STREAMS
from source_stripe_native.state.shapes import initial_state, slice_suffix

ACCOUNTS: Final = 100
EACH: Final = 20
"""Objects of each kind in each account."""
PADDING: Final = {f"note_{number:02}": "x" * 40 for number in range(50)}
"""Metadata that makes an object 4 KB."""
STALL: Final = 60.0
"""Seconds for which the reader stops."""
SLOW: Final = 5_000_000
"""Bytes a second that the slow reader reads."""
STEP: Final = 0.05
"""Seconds that a slow reader rests at least."""
SLICES: Final = 16
INVOICES: Final = 100
"""Invoices of each slice: a page."""
LINES: Final = 100
LINE_PADDING: Final = {f"note_{number:02}": "x" * 40 for number in range(26)}
"""Metadata that makes a line 1.8 kB."""
DAY: Final = 86_400
MADE: Final = (
    *(
        "application_fee",
        "balance_transaction",
        "bank_account",
        "card",
        "charge",
        "checkout.session",
        "coupon",
    ),
    *("credit_note", "credit_note_line_item", "customer", "customer_balance_transaction", "dispute"),
    *("fee_refund", "file", "file_link", "invoice", "invoiceitem", "item", "line_item", "payment_intent"),
    *("payment_method", "payout", "plan", "price", "product", "promotion_code", "radar.early_fraud_warning"),
    *("refund", "review", "setup_attempt", "setup_intent", "subscription", "subscription_schedule", "topup"),
    *("transfer", "transfer_reversal"),
)
"""Kinds that the bindings capture by ids of their own."""
TARGET: Final = 250
"""MB that a capture may have resident."""


async def stalling(process: asyncio.subprocess.Process) -> AsyncIterator[bytes]:
    """What a process writes, with a pause before the first document."""
    has_stalled = False
    async for line in lines(process):
        if line.startswith(CAPTURED) and not has_stalled:
            has_stalled = True
            await asyncio.sleep(STALL)
        yield line


async def slow(process: asyncio.subprocess.Process) -> AsyncIterator[bytes]:
    """What a process writes, `SLOW` bytes a second."""
    start_time, read = time.monotonic(), 0
    async for line in lines(process):
        read += len(line)
        rest = start_time + read / SLOW - time.monotonic()
        if rest > STEP:
            await asyncio.sleep(rest)
        yield line


async def stalled_reader(figures: Figures) -> None:
    await _many_accounts(figures, "a reader that stalls for a minute", stalling)


async def slow_reader(figures: Figures) -> None:
    await _many_accounts(figures, "a reader of 5 MB/s", slow)


async def _many_accounts(figures: Figures, about: str, reader: Reader) -> None:
    world = filled(ACCOUNTS)
    expected = set(ids(world))
    found = Found()

    def done(written: Written) -> bool:
        return all(not written.of(name).get("backfill") for name in PER_ACCOUNT) and found.has(expected)

    async with StripeServer(world) as server:
        task = Task(PER_ACCOUNT, connected=True, state=unread(world))
        written = await captured(server, task, done, found, reader)
    about = f"{about}, {ACCOUNTS} accounts x {len(PER_ACCOUNT)} bindings"
    figures.add(about, "objects missing", len(expected - found.ids), 0)
    figures.add(about, "peak memory", written.peak / 1e6, TARGET, "MB")


async def growing_pages(figures: Figures) -> None:
    """Pages of invoices of which each line after the tenth is read for itself, in as many slices as are read
    side by side."""
    now = int(time.time())
    world = billed(now)
    expected = {each["id"] for each in world.list_all("invoice")}
    found = Found()

    def done(written: Written) -> bool:
        return written.has_backfilled("Invoices") and found.has(expected)

    async with StripeServer(world) as server:
        task = Task(["Invoices"], state=in_slices(now))
        written = await captured(server, task, done, found, lines)
    about = f"{SLICES} slices of invoices with {LINES} lines of 1.8 kB"
    figures.add(about, "invoices missing or cut", len(expected - found.ids) + found.cut, 0)
    figures.add(about, "peak memory", written.peak / 1e6, TARGET, "MB")


async def captured(server: StripeServer, task: Task, done: Until, found: "Found", reader: Reader) -> Written:
    """A capture until it is `done`, or for as long as it may take: what is missing then is a figure."""
    return await capture(server, task, done, found.take, at_most=300, killed_after=240, reader=reader)


@dataclass
class Found:
    """The ids of the documents captured, and how many of them have a list that is cut."""

    ids: set[str] = field(default_factory=set)
    cut: int = 0

    def take(self, _: str, document: Json) -> None:
        self.ids.add(document["id"])
        self.cut += document.get("lines", {}).get("has_more", False) is True

    def has(self, expected: set[str]) -> bool:
        return len(self.ids) >= len(expected) and self.ids >= expected


def filled(accounts: int) -> World:
    """A platform whose connected accounts have objects of each kind, the children spread over their
    parents."""
    world, rng = platform(accounts), Random(1)
    now = world.clock.now()
    for account in world.accounts[1:]:
        for kind in (each for each in KINDS.values() if each.name in MADE):
            parent = kind.parent
            parents = list(world.table(parent.kind, account).by_id) if parent else []
            for number in range(EACH):
                fields: Json = {parent.field: rng.choice(parents)} if parent and parents else {}
                world.create(
                    kind.name, account, at=now - DAY + number, event=False, metadata=PADDING, **fields
                )
    return world


def ids(world: World) -> Iterator[str]:
    for account in world.accounts[1:]:
        for kind in MADE:
            yield from (each["id"] for each in world.list_all(kind, account))


def unread(world: World) -> Json:
    """The state of a capture that has opened its bindings, and read nothing. All of them start at once: a new
    capture opens them one by one, as they are written."""
    cutoff = datetime.now(tz=UTC).replace(microsecond=0)
    states = {
        row.NAME: initial_state(world.accounts, list(row.VARIANTS), cutoff)
        for row in STREAMS
        if row.NAME in PER_ACCOUNT
    }
    return {
        "bindingStateV1": {
            name: {
                **state.model_dump(mode="json", by_alias=True),
                "last_initialized": _text(int(cutoff.timestamp())),
            }
            for name, state in states.items()
        }
    }


def billed(now: int) -> World:
    """An account with invoices of many lines, a page of them on each of some days."""
    world = World(seed=1)
    for number in range(SLICES * INVOICES):
        at = now - (1 + number % SLICES) * DAY + number
        invoice = world.create("invoice", at=at, event=False)["id"]
        for _ in range(LINES):
            world.create("line_item", at=at, event=False, invoice=invoice, metadata=LINE_PADDING)
    return world


def in_slices(now: int) -> Json:
    """The state of a capture whose backfill of invoices has a slice for each day, all of it still to be
    read."""
    cutoff = _text(now)
    starts = [now - number * DAY for number in range(SLICES, 0, -1)]
    backfill: Json = {}
    for since, until in zip(starts, [*starts[1:], now + 1], strict=True):
        token = {"after": None, "created": until - 1}
        backfill[slice_suffix(since)] = {"cutoff": cutoff, "next_page": orjson.dumps(token).decode()}
    inc = {"cursor": cutoff}
    return {"bindingStateV1": {"Invoices": {"inc": inc, "backfill": backfill, "last_initialized": cutoff}}}


def _text(created: int) -> str:
    return datetime.fromtimestamp(created, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
