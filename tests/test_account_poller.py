"""The account poller: on virtual time which account is read when and who is notified, and over HTTP that the
capture misses nothing that the poller finds."""

import asyncio
import logging
import math
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from logging import Logger
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from estuary_cdk.capture.common import LogCursor, ResourceState
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, StripeServer, World
from source_stripe_native.config import DEFAULT_WINDOW
from source_stripe_native.events.feed import EventFeed, WindowEvents
from source_stripe_native.notices.notices import Notices
from source_stripe_native.notices.trust import Trust
from source_stripe_native.priority_capture import PriorityQueueConfig, open_binding_with_priority_queue
from source_stripe_native.scheduling.account_poller import AccountPoller
from source_stripe_native.scheduling.notice_reader import NoticeReader
from source_stripe_native.scheduling.pauses import Pauses
from source_stripe_native.scheduling.poll_times import PollTimes
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.state.cursors import AccountNumbers, Cursors
from source_stripe_native.state.shapes import initial_state
from source_stripe_native.state.windows import RETENTION, Window, floor, next_window
from source_stripe_native.stripe.pages import Source
from source_stripe_native.stripe.postponed import Postponed
from source_stripe_native.stripe.rate_limit import Priority, RateLimiter
from tests import cdk_task
from tests.capture import UNLIMITED, Capture, Json, plain
from tests.cdk_task import binding, merged, on_virtual_time, run_on_virtual_time, running_capture
from tests.conftest import NOW

PAUSES: Final = Pauses(cast(Any, SimpleNamespace(settings=DEFAULTS)), logging.getLogger("test"), "acct_1")
LAG: Final = DEFAULTS.lag
READERS: Final = DEFAULTS.account_readers
EPOCH: Final = datetime(2026, 5, 28, 12, 0, 0, tzinfo=UTC)
START: Final = floor(EPOCH - LAG)
INTERVAL: Final = 300.0
WAIT: Final = DEFAULTS.quiet_wait.total_seconds()
SHIFT: Final = 2 * 3600
TYPES: Final = frozenset({"price.updated"})


def time() -> float:
    return asyncio.get_running_loop().time()


def clock() -> datetime:
    return EPOCH + timedelta(seconds=time())


@dataclass
class Feed:
    """Accounts whose events take `seconds` to read; the `busy` ones have some in every window, the others
    those of `news`, by account in seconds of the loop's clock."""

    seconds: float = 0.0
    span: float = math.inf
    busy: set[str] = field(default_factory=set)
    news: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    starts: dict[str, int] = field(default_factory=dict)
    others_start: int | None = START
    """Where accounts start that are not in `starts`."""
    reads: list[tuple[float, str]] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    limiter: RateLimiter | None = None
    on_found: Callable[[str, Json], None] | None = None
    reading: int = 0
    most_reading: int = 0

    def high_watermark(self, account_id: str) -> int | None:
        return self.starts.get(account_id, self.others_start)

    first_cursor = high_watermark

    def subscribe(self, cursors: dict[str, int]) -> None:
        self.starts |= cursors

    def skip(self, account_id: str, to: int) -> None:
        self.skipped[account_id] = self.starts[account_id] = to

    async def read(self, source: Source, cursor: datetime) -> WindowEvents | None:
        account_id = str(source.account_id)
        start, end = floor(cursor), floor(min(clock() - LAG, cursor + timedelta(seconds=min(self.span, 1e9))))
        if self.limiter is not None:
            self.limiter.release(await self.limiter.acquire("/v1/events", Priority.EVENTS))
        self.reads.append((time(), account_id))
        self.reading += 1
        self.most_reading = max(self.most_reading, self.reading)
        await asyncio.sleep(self.seconds)
        self.reading -= 1
        if end <= start:
            return None
        self.starts[account_id] = end
        new = any(start <= floor(EPOCH) + at < end for at in self.news[account_id])
        types = TYPES if new or account_id in self.busy else frozenset[str]()
        return WindowEvents(Window(start, end), [], types=types)

    def times(self, account_id: str) -> list[float]:
        return [at for at, each in self.reads if each == account_id]


@dataclass
class Subscriber:
    notifications: list[tuple[float, str, Window, frozenset[str]]] = field(default_factory=list)
    added: list[tuple[float, list[str]]] = field(default_factory=list)

    def notify(self, account_id: str, window: Window, types: frozenset[str]) -> None:
        self.notifications.append((time(), account_id, window, types))

    def add_accounts(self, account_ids: Sequence[str]) -> None:
        self.added.append((time(), list(account_ids)))

    def notified(self, account_id: str) -> list[Window]:
        return [window for _, each, window, _ in self.notifications if each == account_id]


@dataclass
class _Session:
    now: Callable[[], datetime] = clock
    requests_per_second: float = 80


@dataclass
class _Source:
    account_id: str
    log: Logger = logging.getLogger("test")  # noqa: RUF009 - nothing changes it
    http: _Session = field(default_factory=_Session)


def source_of(account_id: str) -> Source:
    return cast(Source, _Source(account_id))


async def nobody_new() -> list[str]:
    return []


@asynccontextmanager
async def running_poller(
    feed: Feed,
    account_ids: Iterable[str],
    *,
    subscribers: int = 1,
    interval: float = INTERVAL,
    find_new: Callable[[], Any] = nobody_new,
) -> AsyncIterator[tuple[cdk_task.Capture, list[Subscriber]]]:
    """A poller that is stopped when the block is left, and then have ten seconds to end."""
    async with running_capture() as capture:
        going = AccountPoller(cast(EventFeed, feed), source_of, list(account_ids), find_new, PAUSES)
        notified = [Subscriber() for _ in range(subscribers)]
        for each in notified:
            going.subscribe(each, timedelta(seconds=interval))
        capture.task.spawn_child("accounts", going.run)
        yield capture, notified
        stopped_at = time()
        capture.stopping.event.set()
    assert capture.ended_at is not None
    assert capture.ended_at - stopped_at <= 10


def names(number: int, prefix: str = "acct_") -> list[str]:
    return [f"{prefix}{each}" for each in range(number)]


# Who is read when


@on_virtual_time
async def test_each_account_is_read_once_per_interval_and_every_subscriber_notified() -> None:
    feed, accounts = Feed(seconds=0.5), names(100)
    async with running_poller(feed, accounts, subscribers=3) as (_, subscribers):
        await asyncio.sleep(10 * INTERVAL - 1)
    for account in accounts:
        assert len(feed.times(account)) == 10
        assert [round(later - earlier) for earlier, later in pairwise(feed.times(account))] == [INTERVAL] * 9
        notified = [each.notified(account) for each in subscribers]
        assert notified[0] == notified[1] == notified[2]
        assert [each.start for each in notified[0][1:]] == [each.end for each in notified[0][:-1]], (
            "without a gap"
        )
        assert notified[0][0].start == START
    assert feed.most_reading == READERS


@on_virtual_time
async def test_the_shortest_interval_of_the_bindings_is_that_of_the_poller() -> None:
    feed = Feed()
    async with running_capture() as capture:
        going = AccountPoller(cast(EventFeed, feed), source_of, ["acct_1"], nobody_new, PAUSES)
        for interval in (300, 60, 600):
            going.subscribe(Subscriber(), timedelta(seconds=interval))
        capture.task.spawn_child("accounts", going.run)
        await asyncio.sleep(599)
        capture.stopping.event.set()
    assert len(feed.reads) == 10


@on_virtual_time
async def test_an_idle_poller_waits_for_nothing_but_the_next_turn() -> None:
    async with running_poller(Feed(), names(50), subscribers=20) as (capture, _):
        await asyncio.sleep(INTERVAL / 2)
        before = capture.readings
        await asyncio.sleep(INTERVAL / 4)
        assert capture.readings - before < 20
        before = capture.readings
        await asyncio.sleep(INTERVAL)
        assert capture.readings - before < 50 * 40, "an interval costs a bounded number of looks per account"


@on_virtual_time
async def test_active_accounts_go_first_where_not_all_can_be_read_in_time() -> None:
    """160 seconds' worth of active accounts and 640 of quiet ones, the interval being 300 long."""
    active, quiet = names(160, "acct_active"), names(640, "acct_quiet")
    feed = Feed(seconds=READERS, busy=set(active))
    async with running_poller(feed, [*quiet, *active]) as _:
        await asyncio.sleep(4 * 3600)
        # Nobody waits for what is under way for long.
        feed.seconds = 1
    warm = 3600
    for account in active:
        assert max(gaps(feed.times(account), warm)) <= INTERVAL + 2 * READERS
    longest = [max(gaps(feed.times(account), warm)) for account in quiet]
    assert max(longest) <= INTERVAL + WAIT + 2 * READERS
    assert sum(longest) / len(longest) > 2 * INTERVAL, "there was too much to do for all to be in time"


@on_virtual_time
async def test_every_accounts_events_are_read_in_time_while_lists_are_polled_and_backfills_run() -> None:
    """A tenth of a live key's budget, of which one endpoint has a quarter."""
    limiter, accounts, interval = RateLimiter(8, 2), names(60), 20.0
    feed = Feed(limiter=limiter)

    async def crowd(priority: Priority, number: int) -> None:
        while True:
            limiter.release(await limiter.acquire(f"/v1/{number % 5}", priority))

    lower = (Priority.CHANGES, Priority.BACKFILL)
    crowds = [asyncio.ensure_future(crowd(each, number)) for number in range(500) for each in lower]
    async with running_poller(feed, accounts, interval=interval) as _:
        await asyncio.sleep(300)
        for each in crowds:
            each.cancel()
    waited = sorted(gap for account in accounts for gap in gaps(feed.times(account)))
    budget = DEFAULTS.utilisation * 2
    assert waited[int(0.99 * len(waited))] <= max(interval, len(accounts) / budget) + 60


def gaps(times: list[float], after: float = 0.0) -> list[float]:
    late = [each for each in times if each >= after]
    return [later - earlier for earlier, later in pairwise(late)]


@on_virtual_time
async def test_a_quiet_account_is_back_at_full_cadence_with_its_first_event() -> None:
    active, quiet = names(160, "acct_active"), names(640, "acct_quiet")
    feed = Feed(seconds=READERS, busy=set(active))
    woken = quiet[77]
    async with running_poller(feed, [*quiet, *active]) as _:
        await asyncio.sleep(2 * 3600)
        feed.busy.add(woken)
        await asyncio.sleep(2 * 3600)
        feed.seconds = 1
    before = max(gaps([each for each in feed.times(woken) if each < 2 * 3600], 3600))
    first = next(each for each in feed.times(woken) if each > 2 * 3600)
    assert first <= 2 * 3600 + INTERVAL + WAIT
    assert max(gaps(feed.times(woken), first)) <= INTERVAL + 2 * READERS < before


@settings(max_examples=10, deadline=None)
@given(
    active=st.integers(0, 40),
    quiet=st.integers(1, 40),
    seconds=st.sampled_from([0.0, 1.0, 20.0, 100.0, 300.0]),
    interval=st.sampled_from([150.0, 600.0]),
)
def test_nobody_starves_whoever_is_active_and_however_slow_it_is(
    active: int, quiet: int, seconds: float, interval: float
) -> None:
    async def main() -> Feed:
        ids = names(active, "acct_active"), names(quiet, "acct_quiet")
        feed = Feed(seconds=seconds, busy=set(ids[0]))
        async with running_capture() as capture:
            going = AccountPoller(cast(EventFeed, feed), source_of, [*ids[0], *ids[1]], nobody_new, PAUSES)
            going.subscribe(Subscriber(), timedelta(seconds=interval))
            capture.task.spawn_child("accounts", going.run)
            await asyncio.sleep(SHIFT)
            capture.stopping.event.set()
        return feed

    feed = run_on_virtual_time(main())
    # As long as all of them take, and as long as those wait that are or were quiet.
    whole = math.ceil((active + quiet) / READERS) * seconds
    for account in [*names(active, "acct_active"), *names(quiet, "acct_quiet")]:
        times = feed.times(account)
        assert times
        bound = interval + whole + WAIT + seconds + 1
        assert max(gaps(times), default=0) <= bound
        assert SHIFT - times[-1] <= bound
        if whole + 1 < interval:
            assert max(gaps(times), default=0) <= interval + 1


@on_virtual_time
async def test_the_poller_tells_by_how_much_it_is_behind_while_it_is() -> None:
    feed = Feed(seconds=160)
    async with running_capture() as capture:
        going = AccountPoller(cast(EventFeed, feed), source_of, names(160), nobody_new, PAUSES)
        assert going.behind() == timedelta(), "nobody has subscribed"
        going.subscribe(Subscriber(), timedelta(seconds=INTERVAL))
        capture.task.spawn_child("accounts", going.run)
        await asyncio.sleep(INTERVAL - 1)
        assert going.behind() == timedelta()
        await asyncio.sleep(1000)
        assert timedelta(minutes=20) < going.behind() < timedelta(minutes=23)
        feed.seconds = 0
        await asyncio.sleep(2 * 160)
        assert going.behind() == timedelta()
        capture.stopping.event.set()


@on_virtual_time
async def test_the_types_of_the_news_are_told_and_those_of_a_quiet_window_are_none() -> None:
    feed = Feed(news={"acct_0": [100.0], "acct_1": []})
    async with running_poller(feed, names(2)) as (_, (subscriber,)):
        await asyncio.sleep(4 * INTERVAL - 1)
    assert [types for _, account, _, types in subscriber.notifications if account == "acct_0"] == [
        TYPES,
        frozenset(),
        frozenset(),
    ]
    assert {types for _, account, _, types in subscriber.notifications if account == "acct_1"} == {
        frozenset()
    }


@on_virtual_time
async def test_an_account_far_behind_is_read_window_after_window_in_one_turn() -> None:
    feed = Feed(seconds=1, span=3600)
    feed.starts["acct_0"] = START - 24 * 3600
    async with running_poller(feed, names(1)) as (_, (subscriber,)):
        await asyncio.sleep(60)
    windows = subscriber.notified("acct_0")
    assert len(windows) in (24, 25)
    assert windows[0].start == START - 24 * 3600
    assert windows[-1].end >= START
    assert all(one.end == next.start for one, next in pairwise(windows))


@on_virtual_time
async def test_a_poller_that_is_stopped_ends_after_what_is_under_way() -> None:
    feed = Feed(seconds=5, span=60)
    for each in names(100):
        feed.starts[each] = START - 24 * 3600
    async with running_poller(feed, names(100)) as _:
        await asyncio.sleep(30)
    assert len(feed.reads) <= READERS * 8


@on_virtual_time
async def test_an_account_unread_for_longer_than_stripe_keeps_events_begins_anew() -> None:
    feed = Feed()
    feed.starts["acct_0"] = START - int(RETENTION.total_seconds()) - 100
    async with running_poller(feed, names(2)) as (_, (subscriber,)):
        await asyncio.sleep(2 * INTERVAL - 1)
    assert feed.skipped == {"acct_0": START}
    first, *rest = subscriber.notified("acct_0")
    assert first == Window(START - 1, START), "which no cursor of before has come to"
    assert [(each.start, each.end) for each in rest] == [(START, START + int(INTERVAL))]


@on_virtual_time
async def test_new_accounts_are_looked_for_every_hour_adopted_and_read() -> None:
    looks: list[float] = []

    async def find_new() -> list[str]:
        looks.append(time())
        return ["acct_new"] if len(looks) == 2 else []

    feed = Feed()
    feed.starts, feed.others_start = dict.fromkeys(names(2), START), None
    async with running_poller(feed, names(2), subscribers=2, find_new=find_new) as (_, subscribers):
        await asyncio.sleep(3 * 3600 + 1)
    hour = DEFAULTS.new_accounts_interval.total_seconds()
    assert [round(each) for each in looks] == [hour, 2 * hour, 3 * hour]
    for each in subscribers:
        assert [ids for _, ids in each.added] == [["acct_new"]]
        at = each.added[0][0]
        notified = each.notified("acct_new")
        assert notified[0].start <= floor(EPOCH) + math.ceil(at) <= notified[1].end
        assert [window.start for window in notified[1:]] == [window.end for window in notified[:-1]]
        assert notified[-1].end >= floor(EPOCH) + 3 * 3600 - INTERVAL - 61


# The account poller and the schedulers of bindings, on virtual time


@dataclass
class Fetching:
    """What the bindings fetch: documents for what the feed has new, which take `seconds` to come."""

    feed: Feed
    seconds: float = 0.0
    latency: float = 0.0
    """Seconds until any answer."""
    fetched: list[tuple[float, str]] = field(default_factory=list)

    def changes(self, account_id: str) -> Any:
        async def fetch(_: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
            assert isinstance(cursor, datetime)
            until = self.feed.high_watermark(account_id)
            assert until is not None
            if until <= floor(cursor):
                return
            self.fetched.append((time(), account_id))
            await asyncio.sleep(self.latency)
            window = Window(floor(cursor), until)
            for at in self.feed.news[account_id]:
                if window.start <= floor(EPOCH) + at < window.end:
                    await asyncio.sleep(self.seconds)
                    yield {"id": f"{account_id} {at:.0f}"}
            yield window.end_at

        return fetch

    def page(self, account_id: str) -> None:
        return None


@asynccontextmanager
async def capturing(
    feed: Feed,
    fetching: Fetching,
    account_ids: list[str],
    bindings: int = 1,
    flush: float = 60.0,
    polls: bool = False,
    own_types: frozenset[str] = TYPES,
    **limits: Any,
) -> AsyncIterator[tuple[cdk_task.Capture, list[ResourceState]]]:
    """Bindings that have backfilled, and follow their accounts since a minute before the start."""
    async with running_capture() as capture:
        going = AccountPoller(cast(EventFeed, feed), source_of, account_ids, nobody_new, PAUSES)
        states = []
        for index in range(bindings):
            state = initial_state(account_ids, [""], EPOCH - LAG)
            state.backfill = {}
            states.append(state)
            open_binding_with_priority_queue(
                binding(),
                index,
                state,
                capture.task,
                account_ids,
                fetching.changes,
                fetching.page,
                config=PriorityQueueConfig(
                    now=clock,
                    poller=going,
                    flush=timedelta(seconds=flush),
                    polls=PollTimes() if polls else None,
                    is_relevant=lambda types: bool(types & own_types),
                    **limits,
                ),
            )
        capture.task.spawn_child("accounts", going.run)
        yield capture, states
        capture.stopping.event.set()


@on_virtual_time
async def test_polling_quiet_accounts_costs_few_checkpoints_and_no_task_for_an_account() -> None:
    feed = Feed(seconds=0.1)
    fetching = Fetching(feed)
    async with capturing(feed, fetching, names(50), bindings=40) as (capture, states):
        await asyncio.sleep(INTERVAL / 2)
        tasks = len(asyncio.all_tasks())
        await asyncio.sleep(10 * INTERVAL)
        assert abs(len(asyncio.all_tasks()) - tasks) <= 40
        assert tasks < 50 * 40 / 5
        written = len(capture.output.checkpoints)
    assert fetching.fetched == []
    # A round's cursors are written together, by each binding.
    assert written <= 40 * 2 * 11
    end = datetime.fromtimestamp(START, tz=UTC) + timedelta(seconds=9 * INTERVAL)
    for state in states:
        cursors = Cursors.of(state, AccountNumbers())
        assert all(cast(datetime, each.cursor) >= end for each in cursors.values())


@on_virtual_time
@pytest.mark.parametrize("at", [0.2, 0.9, 100.0, INTERVAL - 0.1])
async def test_what_is_postponed_is_read_when_it_is_due_whenever_the_account_is_polled(at: float) -> None:
    """Just after the poller has moved the cursor no window is due."""
    feed, read, again = Feed(), list[float](), DEFAULTS.pause_after(1).total_seconds()

    async def write(_: Json) -> None:
        pass

    postponed = Postponed(DEFAULTS, write)

    class Windows(Fetching):
        def changes(self, account_id: str) -> Any:
            async def fetch(_: Logger, cursor: datetime) -> AsyncGenerator[Any, None]:
                if (due := next_window(cursor, clock(), lag=LAG, span=DEFAULT_WINDOW)) is not None:
                    if subjects := postponed.due(account_id, clock()):
                        read.append(time())
                        await postponed.remove(account_id, subjects)
                    yield due.end_at

            return fetch

    async with capturing(feed, Windows(feed), names(1), postponed=postponed):
        await asyncio.sleep(at)
        assert await postponed.add("acct_0", "OBJECT::ch_1", clock())
        await asyncio.sleep(10 * INTERVAL)
    assert read == [pytest.approx(at + again, abs=2)]


@on_virtual_time
async def test_a_binding_whose_lists_are_polled_waits_while_nothing_happens() -> None:
    feed = Feed(news={"acct_0": [15_000.0], "acct_1": []})
    fetching = Fetching(feed)
    async with capturing(feed, fetching, names(2), polls=True, own_types=frozenset()) as (capture, _):
        await asyncio.sleep(5 * 3600)
        written = len(capture.output.checkpoints)
    hour = DEFAULTS.longest_poll_wait.total_seconds()
    times = {each: [at for at, account in fetching.fetched if account == each] for each in names(2)}
    assert [round(each) for each in times["acct_1"]] == [hour, 2 * hour, 3 * hour, 4 * hour]
    # An event, with which something is found. Then each wait is twice as long as the one before.
    assert [round(each / INTERVAL) for each in times["acct_0"]] == [12, 24, 36, 48, 51, 52, 53, 55, 59]
    assert written <= len(fetching.fetched), "a cursor that waits costs no checkpoint"


@on_virtual_time
async def test_a_binding_whose_lists_are_polled_is_read_at_once_for_events_of_its_own() -> None:
    news = [1000.0, 1400.0, 5000.0]
    feed = Feed(news={"acct_0": news})
    fetching = Fetching(feed)
    async with capturing(feed, fetching, names(1), polls=True) as (capture, _):
        await asyncio.sleep(6000)
        documents = [
            (each.at, document["id"]) for each in capture.output.checkpoints for _, document in each.documents
        ]
    assert [id for _, id in documents] == [f"acct_0 {each:.0f}" for each in news]
    for at, happened in zip((at for at, _ in documents), news, strict=True):
        assert at - happened <= INTERVAL + LAG.total_seconds() + 1


@on_virtual_time
async def test_an_account_with_events_goes_before_those_of_which_only_the_lists_are_due() -> None:
    accounts, hour = names(200), DEFAULTS.longest_poll_wait.total_seconds()
    feed = Feed()
    feed.news[accounts[-1]].append(hour - 100)
    fetching = Fetching(feed, latency=100)
    async with capturing(feed, fetching, accounts, polls=True) as _:
        await asyncio.sleep(hour + 1000)
    first = {account: at for at, account in reversed(fetching.fetched)}
    assert len(first) == len(accounts)
    assert first[accounts[-1]] <= hour + 101 < max(first.values())


@on_virtual_time
async def test_cursors_that_moved_over_nothing_are_written_together_once_a_minute_at_most() -> None:
    feed = Feed(seconds=3.0)
    async with capturing(feed, Fetching(feed), names(400)) as (capture, _):
        await asyncio.sleep(4 * INTERVAL)
        checkpoints = list(capture.output.checkpoints)
    times = [each.at for each in checkpoints]
    assert all(later - earlier >= 59.9 for earlier, later in pairwise(times))
    assert max(len(each.binding_state["inc"]) for each in checkpoints) > 100


@on_virtual_time
async def test_what_moved_is_written_when_the_capture_stops() -> None:
    feed = Feed()
    initial = initial_state(names(5), [""], EPOCH - LAG).model_dump(mode="json", include={"inc"})
    async with capturing(feed, Fetching(feed), names(5), flush=10_000) as (capture, _):
        await asyncio.sleep(2 * INTERVAL + 10)
        assert capture.output.checkpoints == []
    state = merged(initial, capture.output.checkpoints)
    cursors = {each["cursor"] for each in state["inc"].values()}
    assert {datetime.fromisoformat(each) for each in cursors} == {
        EPOCH - LAG + timedelta(seconds=2 * INTERVAL)
    }


@pytest.mark.parametrize(("bindings", "cursors"), [(1, 900), (44, 900), (45, 888), (120, 333), (50_000, 1)])
def test_what_all_bindings_write_of_their_cursors_is_bounded(bindings: int, cursors: int) -> None:
    assert DEFAULTS.flush_of_each(bindings) == cursors


@on_virtual_time
async def test_with_very_many_accounts_each_cursor_is_written_in_its_turn() -> None:
    feed, accounts = Feed(), names(50)
    initial = initial_state(accounts, [""], EPOCH - LAG).model_dump(mode="json", include={"inc"})
    async with capturing(feed, Fetching(feed), accounts, flush_at_most=4) as (capture, _):
        await asyncio.sleep(8 * INTERVAL)
        flushes = [(each.at, list(each.binding_state["inc"])) for each in capture.output.checkpoints]
    assert max(len(each) for _, each in flushes) == 4
    for account_id in accounts:
        times = [at for at, each in flushes if account_id in each]
        assert len(times) > 1
        # Until there is something to write, and then once around.
        assert max(later - earlier for earlier, later in pairwise(times)) <= INTERVAL + 60 * (50 / 4 + 1)
    # All of them once the capture stops.
    assert len(capture.output.checkpoints[-1].binding_state["inc"]) > 4
    cursors = {each["cursor"] for each in merged(initial, capture.output.checkpoints)["inc"].values()}
    assert {datetime.fromisoformat(each) for each in cursors} == {
        EPOCH - LAG + timedelta(seconds=7 * INTERVAL)
    }


@on_virtual_time
async def test_accounts_and_bindings_share_the_cursors_of_what_was_read_together() -> None:
    feed, accounts = Feed(), names(50)
    async with capturing(feed, Fetching(feed), accounts, bindings=3) as (_, states):
        await asyncio.sleep(2 * INTERVAL)
        cursors = [each for state in states for each in cast(dict[str, Any], state.inc).values()]
    assert len(cursors) == 150
    assert len({id(each) for each in cursors}) == len({each.cursor for each in cursors}) < 5


@settings(max_examples=25, deadline=None)
@given(
    news=st.lists(st.lists(st.integers(0, 3000), max_size=6), min_size=1, max_size=6),
    seconds=st.sampled_from([0.0, 3.0, 50.0, 200.0]),
    reading=st.sampled_from([0.0, 5.0]),
)
def test_no_cursor_is_written_before_the_documents_that_it_covers(
    news: list[list[int]], seconds: float, reading: float
) -> None:
    accounts = names(len(news))
    feed = Feed(seconds=reading)
    for account, times in zip(accounts, news, strict=True):
        feed.news[account] = sorted({float(each) for each in times})

    async def main() -> cdk_task.Capture:
        async with capturing(feed, Fetching(feed, seconds), accounts, flush=1.0) as (capture, _):
            await asyncio.sleep(6000)
        return capture

    capture = run_on_virtual_time(main())
    # Whatever checkpoint it is killed after: what is before a cursor is captured.
    documents: set[str] = set()
    for checkpoint in capture.output.checkpoints:
        documents |= {document["id"] for _, document in checkpoint.documents}
        for account, state in checkpoint.binding_state["inc"].items():
            cursor = datetime.fromisoformat(state["cursor"])
            covered = {
                f"{account} {at:.0f}" for at in feed.news[account] if EPOCH + timedelta(seconds=at) < cursor
            }
            assert covered <= documents
    assert len(documents) == sum(len(each) for each in feed.news.values())


# Over HTTP


def customers(world: World, accounts: Iterable[str]) -> dict[str, Json]:
    return {each["id"]: each for account in accounts for each in world.list_all("customer", account)}


def captured(capture: Capture) -> dict[str, Json]:
    return {key: plain(each) for key, each in capture.last("Customers").items()}


QUICK: Final = replace(UNLIMITED, new_accounts_interval=timedelta(milliseconds=100))
"""Looks for new accounts all the time."""


async def test_an_account_that_connects_while_the_capture_runs_is_backfilled_and_followed(
    world: World, server: StripeServer
) -> None:
    first = world.connect()["id"]
    world.create("customer", first, created=NOW - 1000, event=False)
    capture = Capture(server, ["Customers", "Prices"], connected=True, settings=QUICK)
    second: list[str] = []
    later: list[str] = []

    def until() -> bool:
        if (
            not capture.binding_state("Customers").get("backfill")
            and len(captured(capture)) == 1
            and not second
        ):
            world.clock.advance(5)
            second.append(world.connect()["id"])
            world.create("customer", second[0], created=NOW - 1000, event=False)
        if len(captured(capture)) == 2 and not later:
            world.clock.advance(5)
            later.append(world.create("customer", second[0])["id"])
            world.clock.advance(120)
        return bool(later) and later[0] in captured(capture)

    await capture.session(until, seconds=12)
    assert captured(capture) == customers(world, world.accounts)
    assert set(capture.binding_state("Customers")["inc"]) == {PLATFORM, first, *second}


async def test_no_account_is_lost_or_captured_twice_when_it_is_found_again_after_a_restart(
    world: World, server: StripeServer
) -> None:
    capture = await Capture(server, ["Customers"], connected=True, settings=QUICK).backfill()
    made: list[str] = []

    def until() -> bool:
        if not made:
            made.append(world.connect()["id"])
            world.create("customer", made[0], created=NOW - 1000, event=False)
        return made[0] in capture.binding_state("Customers")["inc"]

    world.clock.advance(120)
    await capture.session(until)
    await capture.backfill()
    assert captured(capture) == customers(world, world.accounts)
    assert len(capture.documents) == 1


async def test_an_account_that_was_away_for_too_long_is_backfilled_again_without_the_others(
    world: World, server: StripeServer
) -> None:
    accounts = [PLATFORM, *(world.connect()["id"] for _ in range(3))]
    for account in accounts:
        world.create("customer", account, event=False)
    capture = Capture(server, ["Customers", "Prices"], connected=True)
    await capture.session(
        lambda: all(
            capture.binding_state(each) and not capture.binding_state(each).get("backfill")
            for each in capture.streams
        )
    )
    away = accounts[2]
    world.create("customer", away)
    world.clock.advance(31 * 86_400)
    for stream in capture.streams:
        for account, state in capture.binding_state(stream)["inc"].items():
            if account != away:
                state["cursor"] = "2026-06-28T20:26:00Z"
    server.journal.clear()
    await capture.session(
        lambda: len(captured(capture)) == 5 and not capture.binding_state("Customers").get("backfill")
    )
    listed = [each for each in server.journal.visits("/v1/customers") if each.query.get("limit") != "1"]
    assert {each.account for each in listed} == {away}


async def test_a_restart_after_quiet_polls_repeats_no_documents(world: World, server: StripeServer) -> None:
    accounts = [world.connect()["id"] for _ in range(3)]
    for account in accounts:
        world.create("customer", account, event=False)
    capture = await Capture(server, ["Customers"], connected=True).backfill()
    for _ in range(3):
        world.clock.advance(700)
        await capture.session(lambda: capture.caught_up("Customers"))
    counted = Counter(document["id"] for _, document in capture.documents)
    assert set(counted.values()) == {1}
    assert len(counted) == 3


# Who rests while Stripe's posts are relied on


def trusted(account_ids: Sequence[str], feed: Feed, trust: Trust) -> AccountPoller:
    trust.announce("acct_0", "evt_1", "price.updated", is_judged=False)
    trust.find("acct_0", {"evt_1": (floor(EPOCH), "price.updated")}, 0)
    poller = AccountPoller(cast(EventFeed, feed), source_of, account_ids, nobody_new, PAUSES)
    poller.rely_on(
        cast(
            NoticeReader,
            SimpleNamespace(
                is_trusted=lambda account_id: trust.is_trusted(account_id, time()), subscribe=lambda _: None
            ),
        )
    )
    trust.on_lost = poller.lose_trust
    return poller


@on_virtual_time
async def test_accounts_rest_for_an_hour_while_posts_announce_their_events() -> None:
    feed, trust = Feed(), Trust(floor(EPOCH))
    async with running_capture() as capture:
        poller = trusted(names(3), feed, trust)
        poller.subscribe(Subscriber(), timedelta(seconds=INTERVAL))
        capture.task.spawn_child("accounts", poller.run)
        await asyncio.sleep(2 * 3600 + 1000)
        for account_id in names(3):
            assert [round(each) for each in feed.times(account_id)] == [0, 3600, 7200]
        # At 8200: an interval after the last reading is past.
        poller.notice("acct_1")
        await asyncio.sleep(1)
        assert [round(each) for each in feed.times("acct_1")][-1] == 8200
        # It is read once per interval until one has passed without a notice.
        await asyncio.sleep(3 * INTERVAL)
        assert [round(each) for each in feed.times("acct_1")][-2:] == [8200, 8500]
        # One event that was not announced concerns its account alone.
        trust.find("acct_2", {"evt_2": (floor(EPOCH) + 9000, "invoice.paid")}, time())
        await asyncio.sleep(DEFAULTS.post_patience.total_seconds())
        trust.judge_late(time())
        before = len(feed.times("acct_0"))
        await asyncio.sleep(3 * INTERVAL)
        assert len([each for each in feed.times("acct_2") if each > time() - 3 * INTERVAL - 1]) >= 3
        assert len(feed.times("acct_0")) == before
        # Three in a row concern all.
        for number in (3, 4):
            trust.find("acct_2", {f"evt_{number}": (floor(EPOCH) + 9000, "invoice.paid")}, time())
        trust.judge_late(time() + DEFAULTS.post_patience.total_seconds())
        await asyncio.sleep(2 * INTERVAL)
        assert len(feed.times("acct_0")) >= before + 2
        capture.stopping.event.set()


@on_virtual_time
@pytest.mark.parametrize("interval", [1.0, 5.0, 10.0, 11.0, 60.0])
async def test_an_account_rests_only_once_what_was_announced_has_been_read(interval: float) -> None:
    feed, subscriber = Feed(news={"acct_1": [1000.0]}), Subscriber()
    async with running_capture() as capture:
        poller = trusted(names(3), feed, Trust(floor(EPOCH)))
        poller.subscribe(subscriber, timedelta(seconds=interval))
        capture.task.spawn_child("accounts", poller.run)
        await asyncio.sleep(1000)
        poller.notice("acct_1")
        await asyncio.sleep(1000)
        ((at, *_),) = [each for each in subscriber.notifications if each[3]]
        assert at - 1000 <= interval + LAG.total_seconds() + 1
        assert max(feed.times("acct_1")) <= at + interval + 1
        capture.stopping.event.set()


@on_virtual_time
async def test_an_event_without_a_post_counts_a_minute_later_while_all_accounts_rest() -> None:
    feed, trust, subscriber = Feed(), Trust(floor(EPOCH)), Subscriber()
    read = cast(EventFeed, feed)
    notices = Notices("acct_0", is_live=False, types=TYPES, is_captured=bool, read=read, trust=trust)
    async with running_capture() as capture:
        poller, reader = trusted(names(3), feed, trust), NoticeReader(notices, read, source_of, PAUSES)
        poller.rely_on(reader)
        poller.subscribe(subscriber, timedelta(seconds=INTERVAL))
        capture.task.spawn_child("accounts", poller.run)
        capture.task.spawn_child("notices", reader.run)
        await asyncio.sleep(1000)
        assert feed.on_found is not None
        feed.on_found("acct_2", {"evt_2": (floor(EPOCH) + 900, "invoice.paid")})
        await asyncio.sleep(100 + 2 * INTERVAL)
        assert [round(each) for each in feed.times("acct_2")] == [0, 1060, 1360, 1660]
        assert [round(each) for each in feed.times("acct_1")] == [0]
        capture.stopping.event.set()


@on_virtual_time
async def test_a_notice_of_an_account_whose_turn_has_come_does_not_give_it_a_second_one() -> None:
    feed, accounts = Feed(), names(READERS + 1)
    async with running_capture() as capture:
        poller = trusted(accounts, feed, Trust(floor(EPOCH)))
        poller.subscribe(Subscriber(), timedelta(seconds=INTERVAL))
        capture.task.spawn_child("accounts", poller.run)
        await asyncio.sleep(3590)
        feed.seconds = 100
        await asyncio.sleep(60)
        # All readers are busy, and the last account waits for one of them.
        poller.notice(accounts[-1])
        await asyncio.sleep(2 * INTERVAL)
        assert [round(each) for each in feed.times(accounts[-1])] == [0, 3700, 4000]
        capture.stopping.event.set()


@on_virtual_time
async def test_readings_of_very_many_accounts_that_rest_take_a_tenth_of_the_limit() -> None:
    """50,000 accounts: 8 a second, so that a round takes an hour and three quarters."""
    feed = Feed()
    async with running_capture() as capture:
        poller = trusted(names(50_000), feed, Trust(floor(EPOCH)))
        poller.subscribe(Subscriber(), timedelta(seconds=INTERVAL))
        capture.task.spawn_child("accounts", poller.run)
        await asyncio.sleep(1)
        assert poller.longest_rest() + timedelta(seconds=INTERVAL) == timedelta(seconds=6250)
        capture.stopping.event.set()
