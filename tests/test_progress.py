"""What a person reads of a backfill's progress: what is done and how long the rest takes, as far as known."""

import json
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from source_stripe_native.backfill.progress import (
    BackfillStatus,
    FindOldest,
    Progress,
    ProgressHooks,
)
from source_stripe_native.errors import duration
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.state.windows import Window
from source_stripe_native.stripe.pages import Page, PageToken
from tests.cdk_task import run_on_virtual_time

LOG = logging.getLogger("progress")
WHOLE = Window(1000, 2000)
SOON = replace(DEFAULTS, pages_to_find_oldest=1)


async def at_the_start(window: Window, _known: int) -> int:
    return window.start


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Watched:
    """The progress of a stream. A subtask's oldest object is looked for after its first page."""

    subtasks: int = 1
    untouched: int = 1
    find_oldest: FindOldest | None = at_the_start
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.progress = Progress(LOG, self.subtasks, self.untouched, SOON, clock=self.clock)
        self._hooks: dict[str, ProgressHooks] = {}

    async def read(
        self, at: float, created: int | None, key: str = "", documents: int = 100, since: int | None = None
    ) -> None:
        """A page at `at` seconds, after which the list goes on at `created`; None at its end. The first one
        starts at `since`, or else at the top."""
        self.clock.now = at
        goes_on = PageToken("ch_1", created) if created is not None else None
        hooks = self._hooks.setdefault(key, ProgressHooks(key, self.progress, self.find_oldest))
        await hooks.before_page(PageToken("ch_0", since) if since is not None else None)
        hooks.after_page(Page([], goes_on), WHOLE, documents)

    @property
    def line(self) -> str:
        status = self.progress.status()
        return status.words() if status else "done"


async def test_a_status_tells_the_share_of_the_time_range_and_the_time_left() -> None:
    watched = Watched()
    for second in range(0, 41, 10):
        await watched.read(second, 2000 - second * 10 - 1)
    assert watched.line == "40% done, about 60 seconds left"
    status = watched.progress.status()
    assert status is not None
    assert status.words() == "40% done, about 60 seconds left"
    assert status.fields() == {"done": 0.4, "documents": 500, "left_seconds": 60}


async def test_the_range_begins_at_the_oldest_object_and_not_at_the_start_date() -> None:
    async def find(_: Window, known: int) -> int:
        assert known == 1900, "the place where the list goes on"
        return 1800

    watched = Watched(find_oldest=find)
    await watched.read(0, 1899)
    await watched.read(10, 1849)
    assert watched.line == "75% done, about 3 seconds left"


async def test_a_backfill_that_goes_on_counts_what_was_done_before_and_not_for_its_speed() -> None:
    watched = Watched()
    await watched.read(0, 1499, since=1599)
    await watched.read(10, 1299)
    assert watched.line == "70% done, about 10 seconds left"


@pytest.mark.parametrize("knows", [None, lambda *_: None])
async def test_where_the_oldest_object_is_not_known_neither_share_nor_time_is_told(
    knows: Callable[..., Any] | None,
) -> None:
    async def find(_: Window, _known: int) -> int | None:
        return None

    watched = Watched(find_oldest=knows and find)
    await watched.read(0, 1500)
    await watched.read(20, 1400)
    assert watched.line == "200 documents"
    status = watched.progress.status()
    assert status is not None
    assert status.words() == "200 documents"
    assert status.fields() == {"done": None, "documents": 200, "left_seconds": None}


async def test_the_oldest_object_is_looked_for_once_and_only_in_a_long_backfill() -> None:
    looked: list[int] = []

    async def find(_: Window, known: int) -> int | None:
        looked.append(known)
        return None

    watched = Watched(find_oldest=find)
    watched.progress.settings = replace(SOON, pages_to_find_oldest=3)
    for page in range(10):
        await watched.read(page, 1999 - page)
    assert looked == [1998]


async def test_one_long_subtask_of_which_nothing_is_known_leaves_the_time_unknown() -> None:
    watched = Watched(subtasks=10, untouched=10, find_oldest=None)
    for number in range(9):
        await watched.read(number, None, f"acct_{number}")
    assert watched.line == "90% done, about 1 second left"
    await watched.read(9, 1900, "acct_9")
    assert "left" in watched.line, "it may be as short as the others"
    await watched.read(10, 1800, "acct_9")
    assert watched.line == "90% done"


async def test_of_a_backfill_that_has_hardly_begun_no_time_is_told() -> None:
    watched = Watched()
    await watched.read(0, 1989)
    await watched.read(5, 1959)
    assert watched.line == "4% done"
    await watched.read(10, 1949)
    assert watched.line == "5% done, about 3 minutes left"


async def test_a_done_backfill_has_no_status() -> None:
    watched = Watched()
    assert watched.line == "0 documents"
    await watched.read(0, None)
    assert watched.line == "done"


async def test_a_backfill_of_which_only_accounts_are_left_that_are_paused_has_no_status() -> None:
    watched = Watched(subtasks=3, untouched=2)
    await watched.read(0, 1500, "acct_1")
    assert watched.progress.status(paused=1) is not None
    assert watched.progress.status(paused=2) is None


async def test_of_many_accounts_the_share_counts_them_all() -> None:
    watched = Watched(subtasks=10, untouched=8)
    await watched.read(0, None, "acct_1")
    await watched.read(5, 1499, "acct_2")
    await watched.read(10, None, "acct_3")
    assert watched.line == "40% done, about 30 seconds left"
    await watched.read(11, 1249, "acct_2")
    assert watched.line == "47% done, about 21 seconds left"


async def test_an_account_that_connects_later_is_one_more() -> None:
    watched = Watched(subtasks=1, untouched=1)
    await watched.read(0, None, "acct_1")
    await watched.read(80, 1499, "acct_2")
    assert watched.line == "50% done, about 80 seconds left"


async def test_what_is_left_may_hold_more_than_its_share_of_the_time() -> None:
    watched = Watched()
    rest = Window(1000, 1500), Window(1000, 1100)
    watched.progress.add_page("", 100, WHOLE, [WHOLE], [rest[0]])
    await watched.progress.look_for_oldest("", at_the_start)
    watched.clock.now = 10
    watched.progress.add_page("", 100, WHOLE, [WHOLE], [rest[1]], expected=1_000)
    assert watched.line == "90% done, about 50 seconds left"


async def test_what_is_expected_before_the_oldest_object_does_not_count() -> None:
    async def find(_: Window, _known: int) -> int:
        return 1400

    watched = Watched()
    watched.progress.add_page("", 100, WHOLE, [WHOLE], [Window(1000, 1600)])
    await watched.progress.look_for_oldest("", find)
    watched.clock.now = 10
    watched.progress.add_page("", 100, WHOLE, [WHOLE], [Window(1000, 1500)], expected=500)
    assert watched.line == "83% done, about 5 seconds left"


@settings(max_examples=50)
@given(
    subtasks=st.integers(1, 4),
    oldest=st.one_of(st.none(), st.integers(1000, 1999)),
    pages=st.lists(
        st.tuples(st.integers(0, 5), st.integers(1000, 1999), st.integers(0, 100), st.integers(0, 9)),
        max_size=30,
    ),
)
def test_whatever_pages_there_are_shares_are_shares_and_times_are_times(
    subtasks: int, oldest: int | None, pages: list[tuple[int, int, int, int]]
) -> None:
    """A page's subtask, the second to which it goes back, its documents, and how long it took."""

    async def find(_: Window, _known: int) -> int | None:
        return oldest

    async def main() -> None:
        watched = Watched(subtasks, subtasks, find)
        for key, created, documents, seconds in pages:
            place = None if created % 7 == 0 else created
            await watched.read(watched.clock.now + seconds, place, f"acct_{key}", documents)
            if (status := watched.progress.status()) is None:
                assert watched.progress.unfinished == 0
                continue
            assert status.done is None or 0 <= status.done < 1
            assert status.seconds_left is None or 0 <= status.seconds_left < math.inf
            json.dumps(status.fields(), allow_nan=False)

    run_on_virtual_time(main())


def test_a_share_is_whole_only_at_the_end() -> None:
    assert BackfillStatus(1, done=0.999).words() == "99% done"


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
