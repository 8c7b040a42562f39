"""How many objects `check` says that a list has, where a few pages have to do."""

import bisect
from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from source_stripe_native.cli.estimate import (
    FIRST_PAGES,
    FURTHER_PAGES,
    Count,
    Read,
    count_pages,
    count_range,
    exactly,
)
from source_stripe_native.state.windows import Window
from source_stripe_native.stripe.pages import Page, PageToken

START: Final = 1_293_840_000
NOW: Final = 1_790_000_000
PAGE: Final = 100
YEAR: Final = 365 * 86_400


def evenly(objects: int, seconds: int, ago: int = 0) -> list[int]:
    """When so many objects were created, evenly in so many seconds up to some time ago."""
    return [NOW - ago - seconds + seconds * number // objects for number in range(objects)]


def pages_of(times: Sequence[int]) -> Read:
    """A list of objects with these times, which fails where it is read for too long."""
    ordered, left = sorted(times), FIRST_PAGES + FURTHER_PAGES

    async def read(window: Window, token: PageToken | None) -> Page:
        nonlocal left
        left -= 1
        assert left >= 0, "too many pages are read"
        first = bisect.bisect_left(ordered, window.start)
        last = bisect.bisect_left(ordered, window.end) if token is None else int(token.after or 0)
        begin = max(first, last - PAGE)
        more = PageToken(str(begin), ordered[begin]) if begin > first else None
        return Page([{"created": at} for at in reversed(ordered[begin:last])], more)

    return read


async def estimated(times: Sequence[int]) -> Count:
    return await count_range(pages_of(times), Window(START, NOW + 1), "created")


@pytest.mark.parametrize(
    "bursts",
    [
        pytest.param([(1_500, 2 * YEAR), (374, 1800)], id="the demo after half an hour"),
        pytest.param([(4_000, 60, 600)], id="4,000 customers in a minute"),
        pytest.param([(3_000, 5 * YEAR), (50_000, 10_000, 30_000)], id="an import today"),
        pytest.param([(100_000, 3 * YEAR, 5 * YEAR)], id="nothing new for years"),
        pytest.param([(1_000_000, NOW - START)], id="as old as Stripe"),
    ],
)
async def test_the_range_has_the_number_of_objects(bursts: list[tuple[int, ...]]) -> None:
    times = [at for burst in bursts for at in evenly(*burst)]
    count = await estimated(times)
    assert count.least <= len(times) <= count.most
    assert count.most <= 2 * len(times)


@given(st.integers(0, 500), st.integers(1, NOW - START))
async def test_a_short_list_is_counted_however_it_came(objects: int, seconds: int) -> None:
    assert await estimated(evenly(objects, seconds)) == exactly(objects)


@example(history=(300, YEAR), burst=(400, 8), ago=0)
@given(
    history=st.tuples(st.integers(1, 20_000), st.integers(10_000, 15 * YEAR)),
    burst=st.tuples(st.integers(1, 20_000), st.integers(1, 10_000)),
    ago=st.integers(0, 10_000),
)
async def test_a_burst_does_not_stand_for_all_of_the_history(
    history: tuple[int, int], burst: tuple[int, int], ago: int
) -> None:
    times = evenly(*history, ago) + evenly(*burst, ago)
    count = await estimated(times)
    assert count.objects <= 3 * len(times)
    if burst[0] / burst[1] <= 10:  # Each page of 100 shows then that time has passed.
        assert count.objects >= len(times) / 3


async def test_a_list_that_no_time_divides_is_counted_to_an_end() -> None:
    window = Window(0, 1)
    assert await count_pages(pages_of([0] * 3_000), window) == exactly(3_000)
    assert await count_pages(pages_of([0] * 3_001), window) is None
