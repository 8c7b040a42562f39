"""Polled lists that show an object some time after its creation: it is captured once, and what was seen
before is not captured again."""

import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, StripeServer, World
from sandbox.stripe.table import Entry
from source_stripe_native.api import Changes, source_of
from source_stripe_native.config import DEFAULT_WINDOW
from source_stripe_native.events.feed import EventFeed
from source_stripe_native.events.list_feed import PolledLists
from source_stripe_native.models import STREAMS
from source_stripe_native.settings import Settings
from source_stripe_native.state.windows import floor
from source_stripe_native.stripe.client import StripeSession
from tests.capture import UNLIMITED, Capture, Json, plain, without_secrets
from tests.conftest import NOW
from tests.test_feed import session
from tests.test_streams import HELD

LOG: Final = logging.getLogger("test")
DAY: Final = 86_400
POLLED: Final = {each.NAME: each for each in STREAMS if each.POLLS}
SEVERAL: Final = (
    "Files",
    "BalanceTransactions",
    "CheckoutSessions",
    "CheckoutSessionsLine",
    "ValueListItems",
)
LATEST: Final = 600
"""Seconds after which an object is in its list at the latest."""


def appear(world: World, stream: str, at: int, account: str | None = None) -> set[str]:
    """Makes the list of `stream` show something new that was created at `at`, now; the ids of what is to be
    captured."""
    held = HELD[stream].kind
    before = {each["id"] for each in world.list_all(held, account)}
    fields: Json = {"line_items": 12} if held == "item" else {}
    kind = "checkout.session" if fields else held
    if POLLED[stream].WITHOUT_PARENT:
        fields["customer"] = None
    # A thin event is what the list of events then shows late.
    world.create(kind, account, at=at, event=bool(POLLED[stream].THIN_EVENTS), **fields)
    return {each["id"] for each in world.list_all(held, account)} - before


@dataclass
class Poll:
    """One stream as it follows one account, with a new fetch function for each window, as connected accounts
    have. Documents count once a cursor follows them."""

    http: StripeSession
    stream: str
    account: str | None = None
    cursor: datetime = field(default_factory=lambda: datetime.fromtimestamp(NOW, tz=UTC))
    since: int = 0
    lists: PolledLists = field(default_factory=PolledLists)
    documents: list[Json] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        row = POLLED[self.stream]
        self.lists = PolledLists()
        self.feed = EventFeed(row.all_event_types(), window_size=DEFAULT_WINDOW, settings=self.http.settings)
        self.feed.subscribe({self.account or PLATFORM: floor(self.cursor)})

    async def window(self, give_up_after: int | None = None) -> bool:
        """Reads the next window, if one is due."""
        found: list[Json] = []
        source = source_of(POLLED[self.stream], PLATFORM, self.account, self.http, LOG)
        changes = Changes(source, self.feed, polled=self.lists, since=self.since)
        fetch = changes.fetch(LOG, self.cursor)
        async with aclosing(fetch):
            async for item in fetch:
                if isinstance(item, datetime):
                    self.cursor = item
                    self.documents += found
                    return True
                assert isinstance(item, dict)
                found.append(item)
                if len(found) == give_up_after:
                    return False
        return False

    async def catch_up(self) -> list[str]:
        """The ids of what is captured on the way to now."""
        for _ in range(2):  # as two answers have to agree on the time
            await self.http.get(LOG, "/v1/account")
        before = len(self.documents)
        while await self.window():
            pass
        return [each["id"] for each in self.documents[before:]]


@pytest.fixture
async def http(server: StripeServer) -> AsyncIterator[StripeSession]:
    async with session(server) as opened:
        yield opened


# The rule


@pytest.mark.parametrize("connected", [False, True])
async def test_a_running_capture_finds_once_all_that_lists_show_late(
    world: World, server: StripeServer, connected: bool
) -> None:
    account = world.connect(created=NOW - DAY)["id"]
    capture = Capture(server, list(POLLED), connected=connected, interval="PT0.1S")

    def all_caught_up() -> bool:
        return all(map(capture.caught_up, capture.streams))

    def accounts_of(stream: str) -> list[str]:
        return [PLATFORM, account] if connected and POLLED[stream].PER_ACCOUNT else [PLATFORM]

    def appear_everywhere(ago: int) -> None:
        for stream in POLLED:
            for each in accounts_of(stream):
                appear(world, stream, world.clock.now() - ago, each)

    def held() -> set[str]:
        return {
            each["id"]
            for stream in POLLED
            for account_id in accounts_of(stream)
            for each in world.list_all(HELD[stream].kind, account_id)
        }

    await capture.session(all_caught_up)
    backfilled, known = len(capture.documents), held()
    # Created before the cutoff, and not yet in the lists that the backfill read.
    appear_everywhere(300)
    before_cutoff = held() - known
    world.clock.advance(120)
    steps: list[tuple[bool, int]] = [(False, 530), (True, 90), (False, 90)]

    def until() -> bool:
        if not all_caught_up():
            return False
        if not steps:
            return True
        appears, pause = steps.pop(0)
        if appears:
            appear_everywhere(590)
        world.clock.advance(pause)
        return False

    await capture.session(until)
    times = Counter(document["id"] for _, document in capture.documents[backfilled:])
    assert times.keys() == held() - known > before_cutoff
    assert set(times.values()) == {1}


# What is not repeated, and what it costs


@pytest.mark.parametrize("stream", [*SEVERAL, "V2CoreAccountPersons"])
async def test_a_poll_of_a_quiet_list_costs_no_more_for_what_was_seen(
    world: World, server: StripeServer, http: StripeSession, stream: str
) -> None:
    poll = Poll(http, stream)
    world.clock.advance(100)
    await poll.catch_up()
    world.clock.advance(100)
    server.journal.clear()
    assert await poll.catch_up() == []
    quiet = len(server.journal)
    appear(world, stream, NOW + 120)
    world.clock.advance(100)
    assert await poll.catch_up()
    for _ in range(3):
        world.clock.advance(100)
        server.journal.clear()
        assert await poll.catch_up() == []
        assert len(server.journal) == quiet


async def test_the_overlap_of_a_busy_list_costs_its_pages(
    world: World, server: StripeServer, http: StripeSession
) -> None:
    poll = Poll(http, "Files")
    for number in range(350):
        world.create("file", at=NOW + number, event=False)
    world.clock.advance(420)
    assert len(await poll.catch_up()) == 350
    world.clock.advance(60)
    server.journal.clear()
    assert await poll.catch_up() == []
    assert len(server.journal.visits("/v1/files")) == 4


async def test_catching_up_reads_a_list_once_in_small_windows(world: World, server: StripeServer) -> None:
    made = {world.create("file", at=NOW - DAY + 86 * each, event=False)["id"] for each in range(1000)}
    async with session(server, replace(UNLIMITED, page_size=10, target=40)) as http:
        poll = Poll(http, "Files", cursor=datetime.fromtimestamp(NOW - DAY, tz=UTC))
        world.clock.advance(120)
        await http.get(LOG, "/v1/account")
        server.journal.clear()
        sizes: list[int] = []
        while await poll.window():
            sizes.append(len(poll.documents) - sum(sizes))
    assert len(poll.documents) == 1000
    assert {each["id"] for each in poll.documents} == made
    assert max(sizes) <= 2 * 40
    assert len(server.journal) <= 1.2 * 1000 / 10 + len(sizes)


async def test_the_memory_of_lists_holds_what_the_overlap_does(world: World, http: StripeSession) -> None:
    accounts = [world.connect()["id"] for _ in range(5)]
    lists = PolledLists()
    polls = [Poll(http, "Files", each) for each in accounts]
    for each in polls:
        each.lists = lists
    for _ in range(3):
        world.clock.advance(300)
        world.create("file", accounts[0], event=False)
        for each in polls:
            await each.catch_up()
    assert len(lists._memories) == 1, "nothing of an account whose list is empty"
    for _ in range(4):
        world.clock.advance(300)
        for each in polls:
            await each.catch_up()
    assert not lists._memories
    assert len(polls[0].documents) == 3


async def test_a_window_that_is_given_up_is_read_as_if_for_the_first_time(
    world: World, http: StripeSession
) -> None:
    poll = Poll(http, "Files")
    new = {world.create("file", at=NOW + number, event=False)["id"] for number in range(5)}
    world.clock.advance(120)
    await http.get(LOG, "/v1/account")
    assert await poll.window(give_up_after=3) is False
    assert set(await poll.catch_up()) == new


async def test_a_list_is_not_read_from_before_the_start_date(world: World, http: StripeSession) -> None:
    poll = Poll(http, "Files", since=NOW - 100)
    _, new = (world.create("file", at=NOW - ago, event=False)["id"] for ago in (101, 100))
    world.clock.advance(120)
    assert await poll.catch_up() == [new]


async def test_a_session_that_its_list_shows_after_its_events_is_captured_as_it_is(
    world: World, http: StripeSession
) -> None:
    poll = Poll(http, "CheckoutSessions")
    id = world.create("checkout.session", listed=False, event=False)["id"]
    world.clock.advance(10)
    world.update("checkout.session", id, status="complete")
    world.clock.advance(120)
    assert await poll.catch_up() == [id]
    world.update("checkout.session", id, metadata={"by": "hand"}, event=False)
    show(world, "checkout.session", id)
    world.clock.advance(60)
    assert await poll.catch_up() == [id]
    assert plain(poll.documents[-1]) == without_secrets(world.get("checkout.session", id))
    world.clock.advance(60)
    assert await poll.catch_up() == []


def show(world: World, kind: str, id: str) -> None:
    """From now on the lists show the object."""
    table = world.table(kind)
    hidden = table.by_id[id]
    table.put(Entry(hidden.kind, id, hidden.key, hidden.body, hidden.facets, hidden.parent, True))


# Whatever happens

PAUSES: Final = st.sampled_from([1, 30, 60, 200, 300, 1000, 5000])


@dataclass(frozen=True)
class Story:
    """Objects by (when they are created, when their list shows them) in seconds after NOW; and after each
    pause the list is read, by a new process where the second value says so."""

    objects: list[tuple[int, int]]
    pauses: list[tuple[int, bool]]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    pauses = draw(st.lists(st.tuples(PAUSES, st.sampled_from([False, False, True])), min_size=1, max_size=8))
    length = sum(pause for pause, _ in pauses)
    objects = draw(st.lists(st.tuples(st.integers(1 - LATEST, length), st.integers(0, LATEST)), max_size=30))
    # What was shown before the cutoff the backfill has.
    return Story([(at, at + late) for at, late in objects if at + late > 0], pauses)


@settings(max_examples=20)
@given(
    story=stories(),
    stream=st.sampled_from(SEVERAL),
    page_size=st.integers(1, 4),
    target=st.sampled_from([2, 10, 2000]),
)
async def test_all_that_lists_show_is_captured_whenever_they_show_it(
    story: Story, stream: str, page_size: int, target: int
) -> None:
    world, wanted = World(now=NOW, unordered=True), set[str]()
    shaped: Settings = replace(UNLIMITED, page_size=page_size, target=target)
    async with StripeServer(world) as server, session(server, shaped) as http:
        poll, waiting = Poll(http, stream), sorted(story.objects, key=lambda each: each[1])
        restarted = False
        for pause, restarts in [*story.pauses, (LATEST, False), (LATEST, False)]:
            world.clock.advance(pause)
            while waiting and NOW + waiting[0][1] <= world.clock.now():
                wanted |= appear(world, stream, NOW + waiting.pop(0)[0])
            await poll.catch_up()
            if restarts:
                poll.restart()
                restarted = True
        times: dict[Any, int] = Counter(each["id"] for each in poll.documents)
        assert times.keys() == wanted
        assert restarted or set(times.values()) <= {1}
