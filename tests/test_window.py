"""Windows tile time: every second is read once, none before it is over for good."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from source_stripe_native.window import LAG, RETENTION, Window, floor, is_past_retention, next_window

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
        pytest.param(ago(seconds=60), DAY, None, None, id="not the second that a minute ago began"),
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
    window = next_window(cursor, NOON, lag=LAG, span=span)
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
