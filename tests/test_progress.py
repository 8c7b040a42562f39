"""What a person reads of a backfill's progress: few lines, with what is done and how long the rest takes."""

import logging
from dataclasses import dataclass, field

import pytest

from sandbox.stripe import StripeServer, World
from source_stripe_native.backfill.progress import Progress, ProgressHooks, duration
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.stripe.pages import Page, PageToken
from source_stripe_native.window import Window
from tests.capture import Capture
from tests.conftest import NOW

LOG = logging.getLogger("progress")
WHOLE = Window(1000, 2000)


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Watched:
    """The progress of Charges and its lines."""

    caplog: pytest.LogCaptureFixture
    subtasks: int = 1
    untouched: int = 1
    is_dated: bool = True
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.caplog.set_level(logging.INFO)
        self.progress = Progress(
            "Charges", LOG, self.subtasks, self.untouched, self.is_dated, clock=self.clock
        )

    def read(self, at: float, created: int | None, key: str = "", documents: int = 100) -> None:
        """A page at `at` seconds, after which the list goes on at `created`; None at its end."""
        self.clock.now = at
        goes_on = PageToken("ch_1", created) if created is not None else None
        ProgressHooks(key, self.progress).after_page(Page([], goes_on), WHOLE, documents)

    @property
    def lines(self) -> list[str]:
        return [each.message for each in self.caplog.records]


def test_a_line_tells_the_share_of_the_time_range_documents_rate_and_time_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched(caplog)
    for second in range(0, 41, 10):
        watched.read(second, 2000 - second * 10 - 1)
    assert watched.lines == [
        "Backfilling Charges: 10% done, 200 documents, 20 a second, about 90 seconds left"
    ]


def test_there_is_a_line_once_a_minute_at_most_and_one_at_the_end(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(caplog)
    times: list[float] = []
    for second in range(301):
        watched.read(second, 1999 - second)
        times += [second] * (len(watched.lines) - len(times))
    watched.read(301, None)
    first = DEFAULTS.first_progress.total_seconds()
    assert times == [first + DEFAULTS.progress_interval.total_seconds() * number for number in range(5)]
    assert watched.lines[-1] == "Backfilled Charges: 30,200 documents, 100 a second"


def test_a_short_backfill_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    Watched(caplog).read(0, None, documents=1)
    assert [each.message for each in caplog.records] == ["Backfilled Charges: 1 document"]


def test_a_line_is_a_status_of_the_capture(caplog: pytest.LogCaptureFixture) -> None:
    Watched(caplog).read(0, None)
    (record,) = caplog.records
    assert (record.__dict__["eventType"], record.__dict__["stream"]) == ("connectorStatus", "Charges")


def test_of_many_accounts_the_share_counts_them_all(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(caplog, subtasks=10, untouched=8)
    watched.read(0, None, "acct_1")
    watched.read(5, 1499, "acct_2")
    watched.read(10, None, "acct_3")
    assert watched.lines == [
        "Backfilling Charges: 45% done, 300 documents, 30 a second, about 22 seconds left"
    ]


def test_an_account_that_connects_later_is_one_more(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(caplog, subtasks=1, untouched=1)
    watched.read(0, None, "acct_1")
    watched.read(80, 1499, "acct_2")
    assert watched.lines == [
        "Backfilled Charges: 100 documents",
        "Backfilling Charges: 75% done, 200 documents, 2.5 a second, about 80 seconds left",
    ]


def test_what_is_left_may_hold_more_than_its_share_of_the_time(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(caplog)
    watched.progress.add_page("", 0.5, 100)
    watched.clock.now = 10
    watched.progress.add_page("", 0.1, 100, expected=1_000)
    assert watched.lines == [
        "Backfilling Charges: 90% done, 200 documents, 20 a second, about 50 seconds left"
    ]


def test_where_nothing_tells_how_much_is_left_nothing_is_said_of_it(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched(caplog, is_dated=False)
    watched.read(0, 1500)
    watched.read(20, 1400)
    assert watched.lines == ["Backfilling Charges: 200 documents, 10 a second"]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.4, "0 seconds"),
        (1, "1 second"),
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7_300, "2 hours"),
        (400_000, "5 days"),
    ],
)
def test_a_length_of_time_is_told_in_its_largest_unit(seconds: float, told: str) -> None:
    assert duration(seconds) == told


@pytest.mark.parametrize("connected", [False, True])
async def test_a_capture_tells_of_each_streams_backfill(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture, connected: bool
) -> None:
    accounts = [world.platform, world.connect()["id"]] if connected else [world.platform]
    for account in accounts:
        for number in range(3):
            world.create("charge", account, at=NOW - number * 1000, event=False)
            world.create("price", account, created=NOW - number * 1000, active=number > 0, event=False)
    capture = Capture(server, ["Charges", "Prices"], connected=connected)
    await capture.session(lambda: capture.caught_up("Charges") and capture.caught_up("Prices"))
    told = [each.message for each in caplog.records if each.message.startswith("Backfill")]
    count = 3 * len(accounts)
    assert sorted(told) == [f"Backfilled {each}: {count} documents" for each in ("Charges", "Prices")]
