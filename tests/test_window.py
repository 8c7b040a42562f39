"""Windows tile time: every second is read once, none before it is over for good."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from source_stripe_native.settings import DEFAULTS
from source_stripe_native.state.windows import (
    RETENTION,
    Window,
    floor,
    is_overlap_due,
    is_past_retention,
    is_too_much,
    low_watermark,
    next_span,
    next_window,
    planned,
    span_for,
    uncounted_lag,
)

TARGET = DEFAULTS.target
NOON = datetime(2026, 5, 28, 12, tzinfo=UTC)
DAY = timedelta(days=1)

times = st.timedeltas(-4000 * DAY, 4000 * DAY).map(lambda offset: NOON + offset)
spans = st.timedeltas(timedelta(microseconds=1), timedelta(days=2))
lags = st.timedeltas(timedelta(), timedelta(hours=1))


def ago(**units: float) -> datetime:
    return NOON - timedelta(**units)


@pytest.mark.parametrize(
    ("cursor", "span", "start", "end"),
    [
        pytest.param(ago(hours=1), DAY, ago(hours=1), ago(minutes=1), id="up to a minute ago"),
        pytest.param(
            ago(hours=1), timedelta(minutes=5), ago(hours=1), ago(minutes=55), id="no more than the span"
        ),
        pytest.param(ago(seconds=61), DAY, ago(seconds=61), ago(seconds=60), id="a single second"),
        pytest.param(ago(seconds=60), DAY, None, None, id="not the second that started a minute ago"),
        pytest.param(ago(seconds=-5), DAY, None, None, id="not where the cursor is ahead of the clock"),
        pytest.param(
            ago(seconds=61.5), DAY, ago(seconds=62), ago(seconds=60), id="the cursor's second in full"
        ),
        pytest.param(
            ago(seconds=60.5), DAY, ago(seconds=61), ago(seconds=60), id="the cursor's second alone"
        ),
        pytest.param(ago(seconds=59.5), DAY, None, None, id="not the cursor's second before it is over"),
        pytest.param(
            ago(hours=1, microseconds=1),
            timedelta(milliseconds=1),
            ago(hours=1, seconds=1),
            ago(hours=1),
            id="a second at least, however short the span",
        ),
        pytest.param(
            ago(hours=1), timedelta(seconds=1.9), ago(hours=1), ago(hours=1, seconds=-1), id="whole seconds"
        ),
    ],
)
def test_window_reads(
    cursor: datetime, span: timedelta, start: datetime | None, end: datetime | None
) -> None:
    window = next_window(cursor, NOON, lag=timedelta(minutes=1), span=span)
    expected = Window(floor(start), floor(end)) if start and end else None
    assert window == expected


@given(cursor=times, now=times, lag=lags, span=spans)
def test_window_is_after_its_cursor_within_its_span_and_over(
    cursor: datetime, now: datetime, lag: timedelta, span: timedelta
) -> None:
    window = next_window(cursor, now, lag=lag, span=span)
    if window is None:
        assert floor(now - lag) <= cursor.timestamp(), "there was a whole second to read"
        return
    assert window.start <= cursor.timestamp() < window.start + 1
    assert window.start < window.end <= (now - lag).timestamp()
    assert window.end - window.start <= max(1.0, span.total_seconds())
    assert window.end_at > cursor, "the CDK refuses a cursor that does not move on"
    assert floor(window.end_at) == window.end


@given(
    cursor=times,
    lag=lags,
    sweeps=st.lists(st.tuples(st.timedeltas(timedelta(), timedelta(hours=3)), spans), max_size=20),
)
def test_windows_of_a_capture_tile_time(
    cursor: datetime, lag: timedelta, sweeps: list[tuple[timedelta, timedelta]]
) -> None:
    first, now = floor(cursor), cursor
    covered: list[Window] = []
    for passed, span in sweeps:
        now += passed
        window = next_window(cursor, now, lag=lag, span=span)
        if window is not None:
            covered.append(window)
            cursor = window.end_at
    starts = [first, *(window.end for window in covered[:-1])]
    assert [window.start for window in covered] == starts[: len(covered)]
    assert all(window.end <= (now - lag).timestamp() for window in covered)


@pytest.mark.parametrize(
    ("due", "span", "low", "end"),
    [
        pytest.param(Window(0, 5000), 1000, 9000, 1000, id="the span"),
        pytest.param(Window(0, 5000), 6000, 9000, 5000, id="no more than is due"),
        pytest.param(Window(0, 5000), 0, 9000, 1, id="a second at least"),
        pytest.param(
            Window(0, 5000), 4500, 4400, 5000, id="all where the rest would lie after the low watermark"
        ),
        pytest.param(
            Window(0, 5000), 4300, 4400, 4300, id="the span where the rest starts before the low watermark"
        ),
        pytest.param(
            Window(4500, 5000), 10, 4400, 5000, id="all where everything lies after the low watermark"
        ),
    ],
)
def test_what_is_planned_of_what_is_due_is(due: Window, span: int, low: int, end: int) -> None:
    assert planned(due, span, low) == Window(due.start, end)


HOUR = Window(0, 3600)
ALL = 10**9


@pytest.mark.parametrize(
    ("since", "events", "partial", "low", "cut"),
    [
        pytest.param(1800, TARGET, 0, ALL, False, id="as much as a window may hold"),
        pytest.param(1799, TARGET + 1, 0, ALL, False, id="hardly less dense than too dense"),
        pytest.param(1900, TARGET, 0, ALL, True, id="denser"),
        pytest.param(3599, TARGET - 1, 0, ALL, False, id="not before there is a window's worth"),
        pytest.param(1, 2 * TARGET, 0, ALL, True, id="all but a second"),
        pytest.param(0, 9 * TARGET, 0, ALL, False, id="not where it has been read"),
        pytest.param(-5, 9 * TARGET, 0, ALL, False, id="nor in the overlap"),
        pytest.param(1900, TARGET, TARGET // 4, ALL, True, id="with little to be read again"),
        pytest.param(1900, TARGET, TARGET // 4 + 1, ALL, False, id="not with much to be read again"),
        pytest.param(1900, TARGET, 0, 1500, False, id="what lies after the low watermark may be empty"),
        pytest.param(
            1900, 2 * TARGET + 1, 0, -600, True, id="what lies after the low watermark is bounded too"
        ),
    ],
)
def test_a_window_is_cut_where_it_holds_too_much(
    since: int, events: int, partial: int, low: int, cut: bool
) -> None:
    assert is_too_much(HOUR, since, events, partial, low, DEFAULTS) is cut


lengths = st.integers(1, 10**6)
numbers = st.integers(0, 10**6)


@given(span=lengths, seconds=lengths, events=numbers)
def test_a_span_follows_the_density_and_grows_by_no_more_than_a_factor(
    span: int, seconds: int, events: int
) -> None:
    spans = span_for(seconds, events, DEFAULTS), next_span(span, seconds, events, DEFAULTS)
    assert 1 <= spans[0] <= spans[1] <= max(span, DEFAULTS.growth * seconds)
    assert spans[0] * events <= max(TARGET * seconds, events), "at that density it holds no more"
    if events > TARGET:
        assert spans[1] == spans[0] <= seconds
    else:
        assert spans[1] >= span


@given(window=st.tuples(lengths, lengths), since=lengths, events=numbers, partial=numbers, low=numbers)
def test_a_cut_is_within_its_window_and_makes_the_next_ones_shorter(
    window: tuple[int, int], since: int, events: int, partial: int, low: int
) -> None:
    whole = Window(window[0], sum(window))
    if since < whole.end and is_too_much(whole, since, events, partial, low, DEFAULTS):
        assert whole.start < since
        assert span_for(whole.end - since, events, DEFAULTS) <= whole.end - since < whole.end - whole.start


@given(now=times, late=st.timedeltas(timedelta(), DEFAULTS.lag + DEFAULTS.overlap))
def test_nothing_becomes_visible_before_the_low_watermark(now: datetime, late: timedelta) -> None:
    created = low_watermark(now, DEFAULTS) - 1
    assert created + 1 + late.total_seconds() <= now.timestamp()


@given(times)
def test_floor_is_the_whole_second_that_a_time_is_in(at: datetime) -> None:
    assert floor(at) == floor(at.replace(microsecond=0))
    assert datetime.fromtimestamp(floor(at), tz=UTC) == at.replace(microsecond=0)


def test_floor_goes_down_before_1970_too() -> None:
    assert floor(datetime(1969, 12, 31, 23, 59, 58, 500_000, tzinfo=UTC)) == -2


@pytest.mark.parametrize(
    ("age", "past"),
    [
        (timedelta(), False),
        (-DAY, False),
        (RETENTION, False),
        (RETENTION + timedelta(microseconds=1), True),
        (timedelta(days=365), True),
    ],
)
def test_cursor_is_past_retention_once_it_is_older_than_thirty_days(age: timedelta, past: bool) -> None:
    assert timedelta(days=30) == RETENTION
    assert is_past_retention(NOON - age, NOON) is past


@pytest.mark.parametrize(
    ("left", "past"),
    [(timedelta(hours=1), False), (timedelta(seconds=3_599), True), (timedelta(seconds=-1), True)],
)
def test_a_margin_leaves_time_to_read_what_is_still_there(left: timedelta, past: bool) -> None:
    assert is_past_retention(NOON - RETENTION + left, NOON, timedelta(hours=1)) is past


# What is read before a window, and when


def test_the_overlap_is_due_a_minute_after_it_was_read() -> None:
    assert [is_overlap_due(400, low, DEFAULTS) for low in (400, 459, 460, 5000)] == [False, False, True, True]


@pytest.mark.parametrize(("interval", "early"), [(1, 0), (10, 2), (60, 10), (300, 10)])
def test_a_cursor_is_due_when_it_is_an_interval_old_of_which_a_fifth_at_most_is_the_lag(
    interval: int, early: int
) -> None:
    uncounted = uncounted_lag(timedelta(seconds=interval), DEFAULTS)
    assert DEFAULTS.lag - uncounted == timedelta(seconds=early)
