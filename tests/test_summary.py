"""One line tells how a capture is: what it says, how often, and that nothing else is said once a stream or
an account."""

import asyncio
import json
import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from estuary_cdk.capture.common import ResourceState
from estuary_cdk.logger import LogFormatter

from sandbox.stripe import Fault, StripeServer, World
from source_stripe_native.backfill.progress import BackfillStatus, Progress
from source_stripe_native.capture.summary import (
    Facts,
    Late,
    OldestCursor,
    Summary,
    WatchedStream,
    is_untouched,
)
from source_stripe_native.flow.log_lines import PassingLogger
from source_stripe_native.scheduling.pauses import Paused, Pauses
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.state.shapes import initial_state
from source_stripe_native.state.windows import Window
from source_stripe_native.stripe.attempts import Traffic
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.pages import Workload
from tests.capture import UNLIMITED, Capture
from tests.cdk_task import on_virtual_time, running_capture
from tests.conftest import NOW

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)
CURSOR = OldestCursor("Files", None, timedelta(minutes=14))
QUIET = Facts(121, oldest=CURSOR, requests=0.42, limit=20.0)
PRICES = Late(
    "Prices", timedelta(minutes=14), Workload(90, Counter({"objects whose events lack fields": 80}))
)


# The words


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (
            QUIET,
            "Following 121 streams; oldest cursor 14 minutes old (Files); 0.4 requests a second of 20",
        ),
        (
            replace(
                QUIET,
                backfilling={
                    "Charges": BackfillStatus(120_000, 0.43, 720),
                    "Events": BackfillStatus(9_000),
                    "Invoices": BackfillStatus(12_000, 0.8, 180),
                    "Payouts": BackfillStatus(0),
                    "Refunds": BackfillStatus(500, 0.9, 20),
                },
            ),
            "Backfilling 5 streams, following 116 (slowest: Charges 43% done, about 12 minutes left; "
            "Invoices 80% done, about 3 minutes left; Refunds 90% done, about 20 seconds left); oldest "
            "cursor 14 minutes old (Files); 0.4 requests a second of 20",
        ),
        (
            Facts(1, backfilling={"Events": BackfillStatus(9_000)}, requests=19.26, limit=20.0),
            "Backfilling 1 stream, following 0 (slowest: Events 9,000 documents); 19.3 requests a second of "
            "20",
        ),
        (
            Facts(2, backfilling={"Events": BackfillStatus(0)}, limit=7.5),
            "Backfilling 1 stream, following 1; 0.0 requests a second of 7.5",
        ),
        (
            replace(
                QUIET,
                oldest=replace(CURSOR, account_id="acct_1"),
                refused_for_rate=1_200,
                accounts=5_000,
                behind=timedelta(minutes=21),
                paused=Paused(3, Counter({"Files": 2, "their changes": 1})),
                late=[PRICES],
            ),
            "Following 121 streams; oldest cursor 14 minutes old (Files of acct_1); 0.4 requests a second of "
            "20, 1,200 refused for their rate; reading 5,000 accounts, up to 21 minutes behind; 3 accounts "
            "are paused after failures: 2 for Files, 1 for their changes; Prices is 14 minutes behind "
            "(90 requests were answered, something was read again for 80 objects whose events lack fields)",
        ),
    ],
)
def test_a_summary_says_what_there_is_to_say(facts: Facts, words: str) -> None:
    assert facts.words() == words


def test_of_many_late_streams_a_few_are_named() -> None:
    late = [Late(f"S{minutes}", timedelta(minutes=minutes), Workload()) for minutes in range(11, 61)]
    words = replace(QUIET, late=late).words()
    assert "; S60 is 60 minutes behind (no request was answered), S59 is" in words
    assert words.endswith(", and 47 streams more")


def test_the_fields_have_the_same_for_programs() -> None:
    facts = replace(
        QUIET,
        backfilling={"Charges": BackfillStatus(120_000, 0.43, 720), "Events": BackfillStatus(9)},
        refused_for_rate=3,
        paused=Paused(3, Counter({"Files": 2})),
        late=[PRICES],
        behind=timedelta(minutes=2),
    )
    assert facts.fields() == {
        "streams": 121,
        "backfilling": {
            "Charges": {"done": 0.43, "documents": 120_000, "left_seconds": 720},
            "Events": {"done": None, "documents": 9, "left_seconds": None},
        },
        "oldest_cursor": {"stream": "Files", "account": None, "age_seconds": 840},
        "requests": {"per_second": 0.4, "limit": 20.0, "refused_for_rate": 3},
        "failing_since": None,
        "accounts_behind_seconds": 120,
        "paused": {"accounts": 3, "streams": {"Files": 2}},
        "late": {
            "Prices": {
                "behind_seconds": 840,
                "requests": 90,
                "read_again": {"objects whose events lack fields": 80},
            }
        },
    }


# How often


@dataclass
class Watched:
    """A capture of one stream, as its summary sees it, on virtual time."""

    caplog: pytest.LogCaptureFixture
    cursor: datetime = AT
    late: timedelta = timedelta()
    failing_since: datetime | None = None
    traffic: Traffic = field(default_factory=Traffic)

    def __post_init__(self) -> None:
        self.caplog.set_level(logging.INFO, "flow")
        now = asyncio.get_running_loop().time
        self.progress = Progress(logging.getLogger("progress"), 2, 2, DEFAULTS, clock=now)
        backfill = {suffix: ResourceState.Backfill(cutoff=AT, next_page=None) for suffix in ("_a", "_b")}
        state = ResourceState(inc=ResourceState.Incremental(cursor=self.cursor), backfill=backfill)
        stream = WatchedStream("Charges", state, self.progress, ("_a", "_b"), waiting=lambda: self.late)
        http = SimpleNamespace(
            traffic=self.traffic,
            settings=DEFAULTS,
            requests_per_second=20.0,
            now=lambda: AT + timedelta(seconds=now()),
            failing_since=lambda: self.failing_since,
        )
        pauses = Pauses(cast(StripeSession, http), logging.getLogger("test"), "acct_1")
        self.summary = Summary(cast(StripeSession, http), [stream], pauses)

    def end_subtask(self, key: str) -> None:
        whole = Window(0, 1)
        self.progress.add_page(key, 10, whole, [whole], [])

    @property
    def lines(self) -> list[str]:
        return [
            each.message
            for each in self.caplog.records
            if getattr(each, "eventType", "") == "connectorStatus"
        ]


@on_virtual_time
async def test_there_is_one_line_a_minute_while_anything_is_under_way_and_few_while_all_is_quiet(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched(caplog)
    async with running_capture() as capture:
        capture.task.spawn_child("summary", watched.summary.run)
        await asyncio.sleep(9)
        assert watched.lines == []
        await asyncio.sleep(2)
        (first,) = watched.lines
        assert first == (
            "Backfilling 1 stream, following 0; oldest cursor 10 seconds old (Charges); 0.0 requests a "
            "second of 20"
        )
        watched.end_subtask("_a")
        watched.traffic.requests, watched.traffic.refused_for_rate = 600, 7
        await asyncio.sleep(60)
        assert len(watched.lines) == 2
        assert "Backfilling 1 stream, following 0 (slowest: Charges 50% done, " in watched.lines[1]
        assert "10.0 requests a second of 20, 7 refused for their rate" in watched.lines[1]
        watched.end_subtask("_b")
        await asyncio.sleep(60)
        assert watched.lines[2:] == [
            "Following 1 stream; oldest cursor 2 minutes old (Charges); 0.0 requests a second of 20"
        ]
        await asyncio.sleep(3600)
        assert len(watched.lines[3:]) == 6
        watched.late = timedelta(minutes=11)
        await asyncio.sleep(240)
        assert len([each for each in watched.lines if "Charges is 11 minutes behind" in each]) == 4
        watched.late = timedelta()
        await asyncio.sleep(60)
        assert "behind" not in watched.lines[-1]
        watched.failing_since = AT + timedelta(hours=2)
        await asyncio.sleep(240)
        failing = "requests have failed since 2026-01-01 14:00:00 UTC"
        assert len([each for each in watched.lines if failing in each]) == 4
        watched.failing_since = None
        await asyncio.sleep(600)
        assert [failing in each for each in watched.lines[-2:]] == [True, False]
        capture.stopping.event.set()


# A whole capture


QUICK = replace(
    UNLIMITED, first_summary=timedelta(milliseconds=200), summary_interval=timedelta(milliseconds=100)
)
KINDS = {"Charges": "charge", "Prices": "price", "Coupons": "coupon", "Files": "file", "Cards": "card"}


async def info_lines(
    server: StripeServer, caplog: pytest.LogCaptureFixture, streams: list[str], *, connected: bool
) -> Counter[str]:
    """The messages at info of a new capture until it has caught up, and until it says so."""
    caplog.clear()
    capture = Capture(server, streams, connected=connected, settings=QUICK)
    session = asyncio.create_task(capture.session())
    while not any(each.message.startswith("Following") for each in caplog.records):
        await asyncio.sleep(0.01)
        assert not session.done()
    session.cancel()
    await asyncio.wait([session])
    return Counter(
        each.message.split(" ")[0]
        for each in caplog.records
        if each.name.startswith("flow") and each.levelno >= logging.INFO
    )


async def test_the_lines_at_info_are_as_many_whatever_the_number_of_accounts_and_streams(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    accounts = [world.connect()["id"] for _ in range(4)]
    for account in (world.platform, *accounts):
        for kind in KINDS.values():
            world.create(kind, account, event=False)
    lacking = "Your account is not set up to use Issuing"  # as most accounts are
    server.faults.set(*(Fault("/v1/coupons", account=each, status=400, message=lacking) for each in accounts))
    one = await info_lines(server, caplog, ["Charges"], connected=False)
    many = await info_lines(server, caplog, list(KINDS), connected=False)
    all_accounts = await info_lines(server, caplog, list(KINDS), connected=True)
    expected = Counter({"Capture": 1, "beginning": 1, "Following": 1})
    assert one - Counter(Backfilling=9) == many - Counter(Backfilling=9) == expected
    assert all_accounts - Counter(Backfilling=9) == expected + Counter({"listed": 1})


@pytest.mark.parametrize("connected", [False, True])
async def test_one_observable_line_tells_which_backfills_begin(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, connected: bool
) -> None:
    for account in (world.platform, world.connect()["id"]):
        for number in range(3):
            world.create("charge", account, at=NOW - number, event=False)
    capture = Capture(
        server, ["Charges", "Prices"], connected=connected, settings=replace(QUICK, page_size=1)
    )
    await capture.session(lambda: capture.documents != [] and "Charges" in capture.documents[-1][0])
    observable = [each for each in caplog.records if getattr(each, "observable", False)]
    assert [each.message for each in observable] == ["beginning the backfill of 2 streams"]
    assert observable[0].__dict__["bindings"] == ["Charges", "Prices"]
    assert observable[0].__dict__["catalog_task_name"] == "acmeCo/source-stripe-native"
    caplog.clear()
    capture.state["bindingStateV1"]["Prices"] = None
    await capture.session(capture.caught_up)
    observable = [each for each in caplog.records if getattr(each, "observable", False)]
    assert [each.__dict__["bindings"] for each in observable] == [["Prices"]], "the other one goes on"


def test_a_binding_without_accounts_begins_no_backfill() -> None:
    assert is_untouched(initial_state(["acct_1"], ["_a", "_b"], AT), 2)
    assert not is_untouched(initial_state([], ["_a", "_b"], AT), 0)
    assert not is_untouched(ResourceState(), 1)


async def test_a_summary_is_a_status_of_the_capture_and_its_fields_are_json(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    account = world.connect()["id"]
    world.create("charge", account, event=False)
    await info_lines(server, caplog, ["Charges"], connected=True)
    (record,) = [each for each in caplog.records if each.message.startswith("Following")]
    fields = json.loads(LogFormatter().format(record))["fields"]
    assert fields["eventType"] == "connectorStatus"
    assert fields["oldest_cursor"]["account"] in (account, world.platform)
    assert fields["backfilling"] == fields["late"] == {}
    assert fields["paused"] == {"accounts": 0, "streams": {}}


# What is routine


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_what_the_cdk_says_of_each_stream_is_at_debug_and_its_status_nowhere(
    caplog: pytest.LogCaptureFixture, level: int
) -> None:
    caplog.set_level(level, "x")
    log = PassingLogger(logging.getLogger("x")).getChild("Charges")
    log.info("beginning backfill", {"state": 1}, extra={"observable": True})
    log.event.status("Backfilling 3 out of 12 bindings")
    log.event.status("Streaming change events (all 12 bindings are backfilled)")
    log.info("completed backfill of a kind that nobody knows")
    log.warning("completed backfill")
    told: list[Any] = [(each.levelname, each.msg) for each in caplog.records]
    lowered = [("DEBUG", "beginning backfill")]
    rest = [("INFO", "completed backfill of a kind that nobody knows"), ("WARNING", "completed backfill")]
    assert told == ([*lowered, *rest] if level == logging.DEBUG else rest)
    assert not any(hasattr(each, "observable") or hasattr(each, "eventType") for each in caplog.records)
