"""Each firing of a schedule is served once, after its time, for all who can be read; and what cannot be
evaluated or never fires is refused."""

import asyncio
import functools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pycron
import pytest
from estuary_cdk.capture.common import ResourceState
from estuary_cdk.capture.task import Task
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import Fault, StripeServer, World
from source_stripe_native.flow.schedules import Schedules, next_firing, problem_of
from tests.capture import UNLIMITED, Capture
from tests.cdk_task import run_on_virtual_time, running_capture
from tests.conftest import NOW

MINUTE: Final = timedelta(minutes=1)
START: Final = datetime(2026, 2, 26, tzinfo=UTC)
STREAM: Final = "Things"

# Expressions


def fields(low: int, high: int, first_step: int = 1) -> st.SearchStrategy[str]:
    """One field of an expression, in each form that the CDK lets through."""
    number = st.integers(low, high)
    span = st.tuples(number, number).map(lambda each: f"{each[0]}-{each[1]}")
    step = st.integers(first_step, min(high, 30)).map(lambda each: f"*/{each}")
    one = st.one_of(number.map(str), span, step, st.just("*"))
    return st.one_of(st.just("*"), st.lists(one, min_size=1, max_size=3).map(",".join))


expressions = st.tuples(fields(0, 59), fields(0, 23), fields(1, 31), fields(1, 12), fields(0, 6))
times = st.integers(0, 4 * 86_400).map(lambda each: START + timedelta(seconds=each))


def fires(expression: str, time: datetime) -> bool:
    return bool(pycron.is_now(expression, time))


@settings(deadline=None, max_examples=40)
@given(expressions, times, st.integers(1, 600))
def test_a_firing_is_the_first_minute_that_pycron_lets_through(
    parts: tuple[str, ...], since: datetime, minutes: int
) -> None:
    expression = " ".join(parts)
    whole = since.replace(second=0)
    first = next((at for n in range(1, minutes) if fires(expression, at := whole + n * MINUTE)), None)
    found = next_firing(expression, since)
    if first is not None:
        assert found == first
    else:
        assert found is None or found >= whole + minutes * MINUTE


@settings(deadline=None, max_examples=40)
@given(expressions, times, st.integers(0, 50_000))
def test_a_schedule_is_due_once_a_minute_has_passed_in_which_it_fires(
    parts: tuple[str, ...], since: datetime, seconds: int
) -> None:
    expression, now = " ".join(parts), since + timedelta(seconds=seconds)
    whole, minutes = since.replace(second=0), int((now - since.replace(second=0)) / MINUTE)
    has_fired = any(fires(expression, whole + n * MINUTE) for n in range(1, minutes + 1))
    schedules = Schedules(crons={STREAM: expression}, now=lambda: now)
    state = ResourceState(last_initialized=since)
    assert schedules.is_due(STREAM, state) == has_fired
    assert not schedules.is_due("Others", state)
    state.backfill = {"_a": None, "_b": ResourceState.Backfill(cutoff=since)}
    assert not schedules.is_due(STREAM, state), "its backfill is open"


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("*/0 * * * *", "cannot be evaluated"),
        ("0 */0 * * *", "cannot be evaluated"),
        ("0 0 * * */0", "cannot be evaluated"),
        ("0 22-2 * * *", "never fires"),
        ("0 0 31 2 *", "never fires"),
        ("0 0 31 4,6,9,11 *", "never fires"),
        ("59-0 * * * *", "never fires"),
        ("0 0 29 2 *", None),
        ("0 0 31 2 1", None),
        ("0  6 * * *", None),
        ("0\t6 *  * *", None),
        ("", None),
    ],
)
async def test_what_cannot_be_evaluated_or_never_fires_is_refused_in_one_line(
    server: StripeServer, caplog: pytest.LogCaptureFixture, expression: str, problem: str | None
) -> None:
    capture = Capture(server, ["Prices"], schedule=expression)
    if problem is None:
        assert await capture.validate()
        return
    with pytest.raises(SystemExit):
        await capture.validate()
    assert caplog.messages[-1] == (
        f"Prices's schedule {expression!r} {problem}: correct the schedule, or leave it blank."
    )
    # One that was published before is captured without its schedule.
    await capture.session(capture.caught_up)
    assert [each for each in caplog.messages if f"{problem}: the binding is not" in each]


def test_blanks_between_the_fields_may_be_any() -> None:
    assert next_firing("0  6\t*  * *", START) == START.replace(hour=6)
    assert problem_of("0  6\t*  * *") is None


# Firings, backfills and restarts, on virtual time


def passed() -> float:
    """The seconds since `START`. The clock of a capture is ahead of the loop's by less than is rounded."""
    return round(asyncio.get_running_loop().time(), 3)


@dataclass
class Life:
    """A binding through restarts: how long a backfill takes, and how long the capture is away between two
    runs. Times are in seconds."""

    expression: str
    backfill: float
    away: float
    has_paused: bool
    """Whether a paused unit keeps each backfill open for good."""
    runs: float
    """After how long each run ends for another reason."""
    started: list[float] = field(default_factory=list)
    stops: int = 0

    async def run(self, until: float) -> None:
        loop = asyncio.get_running_loop()

        def now() -> datetime:
            return START + timedelta(seconds=passed())

        state = ResourceState(last_initialized=now(), backfill=self._begin())
        while loop.time() < until:
            schedules = Schedules(timedelta(seconds=10), {STREAM: self.expression}, now)
            if schedules.is_due(STREAM, state):
                state.last_initialized, state.backfill = now(), self._begin()
            await self._run_once(schedules, state, now)
            await asyncio.sleep(self.away)

    def _begin(self) -> ResourceState.Backfill:
        self.started.append(passed())
        return ResourceState.Backfill(cutoff=START)

    async def _run_once(self, schedules: Schedules, state: ResourceState, now: object) -> None:
        loop = asyncio.get_running_loop()
        async with running_capture() as capture:
            ends = self.started[-1] + self.backfill

            def is_open() -> bool:
                return loop.time() < ends

            async def repeat(task: Task) -> None:
                state.last_initialized = START + timedelta(seconds=passed())
                state.backfill = self._begin()

            assert state.last_initialized is not None
            keep = functools.partial(schedules.keep, STREAM, state.last_initialized, is_open, repeat)
            capture.task.spawn_child("schedule", keep)
            stop = loop.call_later(self.runs, capture.stopping.event.set)
            await capture.stopping.event.wait()
            stop.cancel()
            self.stops += 1
            if not is_open() and not self.has_paused:
                state.backfill = None
        await schedules.write_requests(capture.task)


@settings(deadline=None, max_examples=15)
@given(
    st.sampled_from(["*/7 * * * *", "0 * * * *", "* * * * *", "30 3 * * *", "5,6,50 * * * 4"]),
    st.sampled_from([1, 45, 90, 1_000, 9_000]),
    st.sampled_from([1, 300]),
    st.booleans(),
    st.sampled_from([100, 7_000, 86_400]),
)
def test_each_firing_is_served_once_after_its_time(
    expression: str, backfill: float, away: float, has_paused: bool, runs: float
) -> None:
    life = Life(expression, backfill, away, has_paused, runs)
    seconds = 1.5 * 86_400 if expression.startswith("30 3") else 12_000
    run_on_virtual_time(life.run(seconds))
    minutes = range(1, int(life.started[-1] // 60) + 1)
    firings = [60.0 * n for n in minutes if fires(expression, START + n * MINUTE)]
    for before, after in zip(life.started, life.started[1:], strict=False):
        # After a firing since the one before, and not before the one before has ended.
        first = min(each for each in firings if before < each)
        assert first <= after
        assert before + backfill <= after <= max(first, before + backfill) + away + runs + 20
    assert life.stops <= 3 + 2 * len(life.started) + seconds / runs, "no loop of restarts"


def test_a_firing_is_served_soon_after_the_clock_has_made_a_leap() -> None:
    """A machine that sleeps: its loop's clock stands still meanwhile."""
    slept = timedelta()

    def now() -> datetime:
        return START + slept + timedelta(seconds=asyncio.get_running_loop().time())

    async def repeat(_: Task) -> None:
        pass

    async def main() -> float:
        nonlocal slept
        async with running_capture() as capture:
            schedules = Schedules(timedelta(seconds=10), {STREAM: "0 6 * * *"}, now)
            keep = functools.partial(schedules.keep, STREAM, START, lambda: False, repeat)
            capture.task.spawn_child("schedule", keep)
            await asyncio.sleep(3_600)
            slept = timedelta(hours=10)
            await capture.stopping.event.wait()
            return asyncio.get_running_loop().time()

    assert run_on_virtual_time(main()) <= 3_600 + 61


# Whole captures


@pytest.mark.parametrize("has_refused", [False, True])
async def test_a_schedule_fires_for_all_accounts_that_can_be_read(
    world: World, server: StripeServer, has_refused: bool
) -> None:
    accounts = [world.connect()["id"] for _ in range(3)]
    for account in accounts:
        world.create("coupon", account, event=False)
    if has_refused:
        lacking = "Your account is not set up to use Issuing"
        server.faults.set(Fault("/v1/coupons", account=accounts[0], status=400, message=lacking))
    quick = replace(
        UNLIMITED, schedule_interval=timedelta(milliseconds=50), stop_patience=timedelta(seconds=1)
    )
    capture = Capture(server, ["Coupons"], connected=True, schedule="0 0 * * *", settings=quick)

    def is_done() -> bool:
        left = {key for key, at in (capture.binding_state("Coupons").get("backfill") or {}).items() if at}
        return bool(capture.documents) and left <= set(accounts[:1] if has_refused else [])

    await capture.session(is_done)
    state = capture.state["bindingStateV1"]["Coupons"]
    cursors = {key: each["cursor"] for key, each in state["inc"].items()}
    state["last_initialized"] = "2020-01-01T00:00:00Z"
    capture.documents.clear()
    if has_refused:
        await capture.session(seconds=20)  # stops by itself
        assert capture.documents == []
        assert set(capture.binding_state("Coupons")["backfill"]) == {world.platform, *accounts}
    await capture.session(is_done)
    readable = accounts[1:] if has_refused else accounts
    assert sorted(each["account_id"] for _, each in capture.documents) == sorted(readable)
    state = capture.binding_state("Coupons")
    assert state["is_connector_initiated"]
    assert datetime.fromisoformat(state["last_initialized"]) > datetime.now(tz=UTC) - timedelta(minutes=5)
    assert all(each["cursor"] >= cursors[key] for key, each in state["inc"].items())
    # It has been served.
    before = len(server.journal.visits("/v1/coupons"))
    with pytest.raises(TimeoutError):
        await capture.session(seconds=0.5)
    assert len(server.journal.visits("/v1/coupons")) - before <= has_refused


@pytest.mark.parametrize("stream", ["Accounts", "Charges", "Prices"])
async def test_a_schedule_keeps_the_cursor_of_a_single_account(
    world: World, server: StripeServer, stream: str
) -> None:
    """Whatever the shape of its backfills: flat, in slices, by variant."""
    world.create("charge", at=NOW - 1_000, event=False)
    world.create("price", at=NOW - 1_000, event=False)
    capture = Capture(server, [stream], schedule="0 0 * * *")
    await capture.session(capture.caught_up)
    state = capture.state["bindingStateV1"][stream]
    cursor, state["last_initialized"] = state["inc"], "2020-01-01T00:00:00Z"
    captured = len(capture.documents)
    await capture.session(lambda: "is_connector_initiated" in capture.binding_state(stream))
    assert capture.binding_state(stream)["inc"] == cursor
    assert capture.binding_state(stream)["backfill"]
    await capture.session(capture.caught_up)
    assert len(capture.documents) == 2 * captured > 0
