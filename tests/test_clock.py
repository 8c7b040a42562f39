"""What time it is at Stripe, by the `Date` of its answers, some of which are wrong."""

import asyncio
import logging
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.stripe import Fault, StripeServer, World
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.stripe.clock import AGREEMENT, StripeClock
from tests.conftest import NOW
from tests.test_client import PATH, session

LOG = logging.getLogger("test")
HOUR = 3600
DAY = 86_400

# The clock itself


def clock(*answers: tuple[float, float]) -> StripeClock:
    """A clock that has read answers of (monotonic time, server time after NOW)."""
    made = StripeClock()
    for monotonic, server in answers:
        made.read(NOW + server, monotonic)
    return made


@pytest.mark.parametrize(
    ("answers", "monotonic", "time"),
    [
        ([(0, 0)], 0, 0),
        ([(0, 0)], 50, 50),
        ([(0, HOUR), (1, 1)], 1, 1),
        ([(0, 0), (1, HOUR)], 1, 1),
        ([(0, -HOUR), (1, 1), (2, 2)], 2, 2),
        ([(0, HOUR), (1, 1), (2, 2)], 2, 2),
        ([(0, 0), (1, 1), (2, HOUR)], 2, 2),
        ([(0, 0), (1, 1), (2, HOUR), (3, 3)], 3, 3),
        ([(0, 0), (1, 1), (2, -HOUR), (3, 3)], 3, 3),
        ([(0, 0), (10, 9.5), (20, 20)], 20, 20),
        ([(0, 0), (1, 1), (2, 2 + DAY), (3, 3 + DAY)], 3, 3 + DAY),
        ([(0, 0), (1, 1), (2, 2 - DAY), (3, 3 - DAY)], 3, 3),
    ],
    ids=[
        "one answer is the clock",
        "the monotonic clock carries it on",
        "of two that do not agree the earlier counts",
        "of two that do not agree the earlier counts, whichever came first",
        "two that agree outdo one that was early",
        "two that agree outdo one that was ahead",
        "one that is ahead moves nothing",
        "nor afterwards",
        "one that is early moves nothing",
        "of those that agree the latest counts",
        "the machine slept for a day, and its monotonic clock stood still",
        "it never goes back",
    ],
)
def test_time_is_what_two_answers_in_a_row_agree_on(
    answers: list[tuple[float, float]], monotonic: float, time: float
) -> None:
    assert clock(*answers).time(monotonic) == pytest.approx(NOW + time)


def test_without_an_answer_there_is_no_time() -> None:
    assert clock().time(7) is None
    assert not clock().is_doubtful


def test_time_is_doubtful_while_the_last_answer_stands_alone() -> None:
    assert clock((0, 0)).is_doubtful
    assert not clock((0, 0), (1, 1)).is_doubtful
    assert clock((0, 0), (1, 1), (2, HOUR)).is_doubtful
    assert clock((0, 0), (1, 1), (2, HOUR), (3, 3)).is_doubtful
    assert not clock((0, 0), (1, 1), (2, HOUR), (3, 3), (4, 4)).is_doubtful


@given(
    st.lists(
        st.tuples(
            st.floats(0, 10 * DAY),
            st.none() | st.floats(-3 * DAY, 3 * DAY) | st.sampled_from([HOUR, -HOUR, 61, -61, 59, -59]),
            st.floats(0, 1),
        ),
        max_size=30,
    )
)
def test_single_wrong_answers_never_move_the_clock_by_more_than_a_minute(
    answers: list[tuple[float, float | None, float]],
) -> None:
    """Of each answer: the seconds since the one before, the error of its `Date` if it is wrong, and the
    fraction of a second that a `Date` leaves out. No two in a row are wrong."""
    read, monotonic, latest = StripeClock(), 0.0, -math.inf
    right = 0
    """Right answers in a row; two of them agree."""
    agreed = False
    for number, (elapsed, error, fraction) in enumerate(answers):
        monotonic += elapsed
        is_wrong = error is not None and (right > 0 or number == 0)
        read.read(NOW + monotonic - fraction + (error or 0) * is_wrong, monotonic)
        right = 0 if is_wrong else right + 1
        agreed = agreed or right == 2
        if agreed:
            time = read.time(monotonic)
            assert time is not None
            assert abs(time - (NOW + monotonic)) <= AGREEMENT + 1
            assert time >= latest
            latest = time


# The session's


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


@pytest.mark.parametrize("years", [-1, 1])
async def test_the_machines_clock_does_not_matter_once_stripe_has_answered(years: int) -> None:
    there = int(datetime.now(tz=UTC).timestamp()) + years * 365 * DAY
    async with StripeServer(World(now=there)) as server, session(server) as stripe:
        assert abs(stripe.now() - datetime.now(tz=UTC)) < timedelta(seconds=10)
        for _ in range(2):
            await stripe.get(LOG, PATH)
            assert abs(stripe.now() - at(there)) < timedelta(minutes=1)


@pytest.mark.parametrize("wrong", [-HOUR, HOUR])
async def test_a_single_wrong_date_does_not_matter(server: StripeServer, wrong: int) -> None:
    async with session(server) as stripe:
        for _ in range(2):
            await stripe.get(LOG, PATH)
        server.faults.add(Fault(headers={"Date": formatdate(NOW + wrong, usegmt=True)}, times=1))
        for _ in range(3):
            await stripe.get(LOG, PATH)
            assert abs(stripe.now() - at(NOW)) < timedelta(minutes=1)


async def test_refresh_confirms_a_first_answer_that_is_wrong(server: StripeServer) -> None:
    server.faults.add(Fault(headers={"Date": formatdate(NOW + HOUR, usegmt=True)}, times=1))
    async with session(server) as stripe:
        await stripe.get(LOG, PATH)
        assert stripe.now() > at(NOW + HOUR - 1)
        await stripe.refresh_clock(LOG)
        assert abs(stripe.now() - at(NOW)) < timedelta(minutes=1)
        assert len(server.journal) == 3


async def test_refresh_asks_only_after_a_silence(server: StripeServer) -> None:
    async with session(server) as stripe:
        await stripe.refresh_clock(LOG)
        assert len(server.journal) == 2
        await stripe.refresh_clock(LOG)
        assert len(server.journal) == 2, "an answer came just now"
        stripe.settings = replace(DEFAULTS, longest_silence=timedelta(seconds=0.01))
        await asyncio.sleep(0.01)
        await stripe.refresh_clock(LOG)
        assert len(server.journal) == 3


async def test_refresh_after_a_silence_follows_stripes_clock(server: StripeServer) -> None:
    async with session(server) as stripe:
        await stripe.refresh_clock(LOG)
        server.world.clock.advance(2 * DAY)
        stripe.settings = replace(DEFAULTS, longest_silence=timedelta())
        await stripe.refresh_clock(LOG)
        assert abs(stripe.now() - at(NOW + 2 * DAY)) < timedelta(minutes=1)


async def test_refresh_has_an_end_where_the_answers_never_agree(server: StripeServer) -> None:
    for number in range(9):
        date = formatdate(NOW + number * HOUR, usegmt=True)
        server.faults.add(Fault(headers={"Date": date}, times=1, after=number))
    async with session(server) as stripe:
        await stripe.refresh_clock(LOG)
        assert len(server.journal) == 3
        assert stripe.now() < at(NOW + 2 * HOUR)
