"""When lists without events are polled: soon after something happened, ever more rarely while nothing does,
and within a bound in any case."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from source_stripe_native.scheduling.poll_times import PollTimes
from source_stripe_native.settings import DEFAULTS

ROUND = 300
LONGEST = int(DEFAULTS.longest_poll_wait.total_seconds())
ACTIVE = int(DEFAULTS.active_poll_wait.total_seconds())
ACCOUNT = "acct_1"
LONG_AGO = -10 * LONGEST


def polls(
    rounds: int,
    *,
    cursor: int = LONG_AGO,
    finds: frozenset[int] = frozenset(),
    events: frozenset[int] = frozenset(),
) -> list[int]:
    """The rounds in which a list is polled, where something is found in it or happens in the account just
    before the rounds `finds` and `events`."""
    times, found, unread = PollTimes(), [], set[int]()
    for number in range(rounds):
        unread |= finds & {number}
        if number in events:
            times.record_events(ACCOUNT, number * ROUND)
        if times.is_due(ACCOUNT, cursor, number * ROUND):
            cursor = number * ROUND
            found.append(number)
            if unread:
                times.record_find(ACCOUNT, cursor)
                unread.clear()
    return found


def test_a_list_of_a_quiet_account_is_polled_once_an_hour() -> None:
    assert polls(40) == [0, 12, 24, 36]


def test_after_a_restart_a_list_waits_for_the_rest_of_the_hour() -> None:
    assert polls(24, cursor=-LONGEST + 4 * ROUND) == [4, 16]


def test_after_a_find_each_wait_is_twice_the_one_before() -> None:
    assert polls(40, finds=frozenset({0})) == [0, 1, 2, 4, 8, 16, 28]


def test_after_an_event_a_list_is_polled_at_once_and_then_each_wait_is_twice_the_one_before() -> None:
    assert polls(40, events=frozenset({5})) == [0, 5, 8, 11, 17, 29]


def test_events_alone_have_a_list_polled_every_quarter_of_an_hour() -> None:
    assert polls(12, events=frozenset(range(12))) == [0, 3, 6, 9]


def test_finds_have_a_list_polled_in_each_round() -> None:
    assert polls(12, finds=frozenset(range(12))) == list(range(12))


def test_without_a_wait_each_round_polls() -> None:
    times = PollTimes(replace(DEFAULTS, longest_poll_wait=timedelta()))
    times.record_find(ACCOUNT, 0)
    assert all(times.is_due(ACCOUNT, at, at + 1) for at in range(0, 2 * LONGEST, ROUND))


def test_accounts_are_polled_each_for_itself() -> None:
    times = PollTimes()
    times.record_find(ACCOUNT, 0)
    assert times.is_due(ACCOUNT, 0, ROUND)
    assert not times.is_due("acct_2", 0, ROUND)


@given(
    finds=st.frozensets(st.integers(0, 200), max_size=20),
    events=st.frozensets(st.integers(0, 200), max_size=20),
)
def test_every_find_is_made_within_the_bound_and_soon_after_an_event(
    finds: frozenset[int], events: frozenset[int]
) -> None:
    polled = polls(230, finds=finds, events=events)
    assert all((later - earlier) * ROUND <= LONGEST for earlier, later in pairwise(polled))
    for each in events:
        assert min(later for later in polled if later >= each) * ROUND - each * ROUND <= ACTIVE
