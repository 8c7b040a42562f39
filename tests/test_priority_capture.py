"""The scheduler over connected accounts, on virtual time: which account's turn it is, what a turn does, and
what is left of it in the state. Only what fetches is made up."""

import asyncio
import functools
import itertools
import math
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from logging import Logger
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from estuary_cdk.capture.common import BaseDocument, LogCursor, PageCursor, ResourceState, Triggers
from hypothesis import given, settings
from hypothesis import strategies as st

from source_stripe_native.flow.output import Commit
from source_stripe_native.priority_capture import (
    PriorityQueueConfig,
    open_binding_with_priority_queue,
)
from source_stripe_native.protocols import AnyFetchPageFn
from source_stripe_native.scheduling.pauses import Pauses
from source_stripe_native.scheduling.scheduler import Scheduler
from source_stripe_native.state.parts import state_of
from source_stripe_native.state.shapes import initial_state
from tests.cdk_task import (
    Capture,
    Checkpoint,
    Json,
    binding,
    merged,
    on_virtual_time,
    run_on_virtual_time,
    running_capture,
)

pytestmark = on_virtual_time

EPOCH: Final = datetime(2026, 5, 28, 12, 0, 30, tzinfo=UTC)
INTERVAL: Final = 300.0
HALVES: Final = ["_active", "_inactive"]
ENDLESS: Final = 1_000_000

ChangesFn = Callable[[Logger, LogCursor], AsyncGenerator[Any, None]]


def time() -> float:
    return asyncio.get_running_loop().time()


def clock() -> datetime:
    return EPOCH + timedelta(seconds=time())


def gaps(times: Iterable[float]) -> list[float]:
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def subtasks() -> int:
    """The backfill and incremental subtasks that are alive."""
    names = [each.get_name() for each in asyncio.all_tasks()]
    return sum(".backfill." in name or ".incremental." in name for name in names)


@dataclass
class Source:
    """What the accounts have and how long it takes to read it; and what was read of it, and when."""

    pages: dict[str, int] = field(default_factory=lambda: defaultdict(lambda: 1))
    """By state key; each page is one document."""
    page_seconds: dict[str, float] = field(default_factory=lambda: defaultdict(lambda: 1.0))
    """By account, as `sweep_seconds` and `changes`."""
    sweep_seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    changes: dict[str, ChangesFn] = field(default_factory=dict)
    """What is done instead of a sweep that finds nothing new."""
    without_backfill: set[str] = field(default_factory=set)
    reads: list[tuple[float, str, int]] = field(default_factory=list)
    sweeps: list[tuple[float, str]] = field(default_factory=list)
    most_subtasks: int = 0
    scheduler: Scheduler = field(init=False)
    """The one that reads it."""

    def fetch_page(self, account_id: str, suffix: str = "") -> AnyFetchPageFn | None:
        if account_id in self.without_backfill:
            return None
        return functools.partial(self._fetch_page, account_id, f"{account_id}{suffix}")

    async def _fetch_page(
        self, account_id: str, key: str, log: Logger, page: PageCursor, cutoff: LogCursor
    ) -> AsyncGenerator[Json | str, None]:
        number = int(str(page or 0))
        self.reads.append((time(), key, number))
        self.most_subtasks = max(self.most_subtasks, subtasks())
        await asyncio.sleep(self.page_seconds[account_id])
        if number < self.pages[key]:
            yield {"id": f"{key} {number}"}
        if number + 1 < self.pages[key]:
            yield str(number + 1)

    def fetch_changes(self, account_id: str) -> ChangesFn:
        return functools.partial(self._fetch_changes, account_id)

    async def _fetch_changes(
        self, account_id: str, log: Logger, cursor: LogCursor
    ) -> AsyncGenerator[Any, None]:
        self.sweeps.append((time(), account_id))
        self.most_subtasks = max(self.most_subtasks, subtasks())
        await asyncio.sleep(self.sweep_seconds[account_id])
        if account_id in self.changes:
            async for each in self.changes[account_id](log, cursor):
                yield each

    def swept(self, account_id: str) -> list[float]:
        return [at for at, account in self.sweeps if account == account_id]

    def read(self, key: str) -> list[int]:
        return [page for _, each, page in self.reads if each == key]


def accounts(
    *ids: str, done: Iterable[str] = (), suffixes: list[str] = HALVES, read: float = 2 * INTERVAL
) -> ResourceState:
    """A state in which the accounts are to be backfilled but for those that are `done`, all of them last read
    so many seconds ago."""
    state = initial_state(list(ids), suffixes, EPOCH - timedelta(seconds=read))
    assert isinstance(state.backfill, dict)
    for key in list(state.backfill):
        if key in done or any(key == f"{each}{suffix}" for each in done for suffix in suffixes):
            del state.backfill[key]
    return state


def last_read(state: ResourceState, **seconds: float) -> None:
    """Sets how many seconds ago accounts were last read."""
    assert isinstance(state.inc, dict)
    for account_id, age in seconds.items():
        state.inc[account_id] = ResourceState.Incremental(cursor=EPOCH - timedelta(seconds=age))


@asynccontextmanager
async def capturing(
    source: Source,
    state: ResourceState,
    *,
    interval: float = INTERVAL,
    suffixes: list[str] | None = HALVES,
    **limits: Any,
) -> AsyncIterator[Capture]:
    """A capture of the accounts of `state` that is stopped when the block is left, and then has ten seconds
    to end."""
    assert isinstance(state.inc, dict)
    async with running_capture() as capture:
        source.scheduler = open_binding_with_priority_queue(
            binding(timedelta(seconds=interval)),
            0,
            state,
            capture.task,
            list(state.inc),
            source.fetch_changes,
            source.fetch_page,
            config=PriorityQueueConfig(now=clock, **limits),
            backfill_subtask_suffixes=suffixes,
        )
        yield capture
        stopped_at = time()
        capture.stopping.event.set()
    assert capture.ended_at is not None
    assert capture.ended_at - stopped_at <= 10


def dump(state: ResourceState) -> Json:
    whole = state_of(inc=state.inc and dict(state.inc), backfill=state.backfill)
    return whole.model_dump(mode="json", include={"inc", "backfill"}, exclude_none=True)


# Whose turn it is


async def test_backfilling_accounts_have_the_first_turns() -> None:
    state = accounts("follows", "acct_1", "stays", "acct_2", done=["follows", "stays"])
    last_read(state, follows=9_000, stays=8_000, acct_1=700, acct_2=900)
    source = Source(sweep_seconds=defaultdict(lambda: 1.0))
    async with capturing(source, state, max_subtasks=3):
        await asyncio.sleep(60)
    assert [account for _, account in source.sweeps][:4] == ["acct_2", "acct_1", "follows", "stays"]


async def test_of_accounts_with_only_changes_to_follow_the_longest_unread_goes_first_in_every_round() -> None:
    ids = ["acct_a", "acct_b", "acct_c", "acct_d"]
    state = accounts(*ids, done=ids, suffixes=[""])
    last_read(state, acct_a=400, acct_b=700, acct_c=500, acct_d=600)
    source = Source(sweep_seconds=defaultdict(lambda: 1.0))
    async with capturing(source, state, max_subtasks=2, suffixes=None):
        await asyncio.sleep(3 * INTERVAL - 10)
    assert [account for _, account in source.sweeps] == ["acct_b", "acct_d", "acct_c", "acct_a"] * 3
    assert [round(at) for at, _ in source.sweeps][:4] == [0, 0, 1, 1], "one that has caught up holds no place"


async def test_a_caught_up_account_is_read_again_after_the_interval_and_not_before() -> None:
    state = accounts("acct_1", done=["acct_1"])
    source = Source(sweep_seconds=defaultdict(lambda: 2.0))
    async with capturing(source, state):
        await asyncio.sleep(10 * (INTERVAL + 2))
    assert gaps(source.swept("acct_1")) == [pytest.approx(INTERVAL + 2)] * 9


@pytest.mark.parametrize(("read", "first"), [(100, 200), (300, 0), (3_000, 0), (-50, 300)])
async def test_after_a_restart_an_account_waits_for_the_rest_of_its_interval(
    read: float, first: float
) -> None:
    state = accounts("acct_1", done=["acct_1"], read=read)
    source = Source()
    async with capturing(source, state):
        began = time()
        await asyncio.sleep(INTERVAL + 1)
    assert source.swept("acct_1")[0] - began == pytest.approx(first, abs=0.01)


async def test_an_account_that_is_behind_is_read_on_at_once_until_it_has_caught_up() -> None:
    async def an_hour(log: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
        assert isinstance(cursor, datetime)
        at = min(cursor + timedelta(hours=1), clock() - timedelta(minutes=1))
        if at > cursor:
            yield {"id": "thing"}
            yield at

    state = accounts("acct_1", done=["acct_1"], read=36_000)
    source = Source(changes={"acct_1": an_hour}, sweep_seconds=defaultdict(lambda: 1.0))
    async with capturing(source, state) as capture:
        await asyncio.sleep(60)
    assert len(source.sweeps) == 10
    assert len(capture.output.documents) == 10
    cursor = dump(state)["inc"]["acct_1"]["cursor"]
    assert datetime.fromisoformat(cursor) > EPOCH - timedelta(minutes=2)


async def test_the_account_whose_backfill_just_ended_is_read_again_one_interval_after_it_was_read() -> None:
    state = accounts("acct_1")
    source = Source(pages={"acct_1_active": 250, "acct_1_inactive": 1})
    async with capturing(source, state):
        await asyncio.sleep(INTERVAL + 10)
    assert [round(at) for at in source.swept("acct_1")] == [0, INTERVAL]


async def test_an_early_turn_reads_nothing_else_and_puts_no_other_turn_off() -> None:
    early: list[tuple[int, str]] = []

    def fetch_early(account_id: str) -> ChangesFn:
        async def fetch(log: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
            early.append((round(time()), account_id))
            await asyncio.sleep(5)
            yield {"id": "early"}
            yield Commit()

        return fetch

    source = Source(sweep_seconds=defaultdict(lambda: 20.0))
    state = accounts("acct_1", done=["acct_1"])
    async with capturing(source, state, fetch_early=fetch_early) as capture:
        await asyncio.sleep(100)
        source.scheduler.notice("acct_1", frozenset({"price.updated"}))
        await asyncio.sleep(222)
        # While it is read.
        source.scheduler.notice("acct_1", frozenset({"price.updated"}))
        await asyncio.sleep(400)
    assert len(capture.output.documents) == 2
    assert early == [(100, "acct_1"), (340, "acct_1")]
    assert [round(at) for at in source.swept("acct_1")] == [0, 320, 640]


async def test_a_notice_brings_a_turn_forward_that_waits_behind_backfills() -> None:
    captured: list[float] = []

    def fetch_early(account_id: str) -> ChangesFn:
        async def fetch(log: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
            captured.append(time())
            yield {"id": "early"}
            yield Commit()

        return fetch

    state = accounts("acct_1", "acct_2", "acct_3", done=["acct_3"])
    source = Source(pages=defaultdict(lambda: ENDLESS))
    limits: Json = {"max_subtasks": 3, "time_slice": timedelta(seconds=20), "max_wait": timedelta(hours=1)}
    async with capturing(source, state, fetch_early=fetch_early, **limits):
        await asyncio.sleep(10)
        assert not source.swept("acct_3"), "others go first"
        source.scheduler.notice("acct_3", frozenset({"price.updated"}))
        await asyncio.sleep(60)
    assert len(captured) == 1


async def test_account_that_another_stream_has_paused_is_not_read_before_its_time() -> None:
    pauses = cast(
        Pauses,
        SimpleNamespace(
            until_time=lambda unit: 1_000.0 if unit.account_id == "acct_1" else -math.inf,
            end=lambda unit: None,
        ),
    )
    state, source = accounts("acct_1", "acct_2", "acct_3", done=["acct_3"]), Source()
    async with capturing(source, state, pauses=pauses):
        await asyncio.sleep(1_100)
    assert min(source.swept("acct_1")) == pytest.approx(1_000)
    assert [round(source.swept(account)[0]) for account in ("acct_2", "acct_3")] == [0, 0]


# The limit of subtasks


async def test_every_account_is_served_within_the_budget_of_subtasks() -> None:
    ids = [f"acct_{number}" for number in range(12)]
    state = accounts(*ids, done=ids[8:])
    source = Source(pages=defaultdict(lambda: 5, acct_3_active=40), sweep_seconds=defaultdict(lambda: 1.0))
    async with capturing(source, state, max_subtasks=7) as capture:
        await asyncio.sleep(120)
    assert source.most_subtasks == 7, "two accounts of three subtasks, and one that only follows"
    assert {account for _, account in source.sweeps} == set(ids)
    assert state.backfill == {f"{each}{half}": None for each in ids[:8] for half in HALVES}
    assert len(capture.output.documents) == 16 * 5 + 35


async def test_a_variant_that_is_complete_makes_room_for_another_account() -> None:
    state = accounts("acct_1", "acct_2", done=["acct_2"])
    source = Source(pages={"acct_1_active": 50, "acct_1_inactive": 3})
    async with capturing(source, state, max_subtasks=3):
        await asyncio.sleep(40)
    assert source.swept("acct_2") == [pytest.approx(3, abs=0.1)]
    assert len(source.swept("acct_1")) == 1, "its turn goes on"


@pytest.mark.parametrize("suffixes", [None, [""], HALVES, ["_a", "_b", "_c"]])
async def test_a_budget_that_holds_no_account_is_refused(suffixes: list[str] | None) -> None:
    count = len(suffixes or [""])
    async with running_capture() as capture:

        def open_binding(max_subtasks: int, **more: Any) -> None:
            open_binding_with_priority_queue(
                binding(),
                0,
                accounts("acct_1", suffixes=suffixes or [""]),
                capture.task,
                ["acct_1"],
                Source().fetch_changes,
                Source().fetch_page,
                config=PriorityQueueConfig(max_subtasks=max_subtasks),
                backfill_subtask_suffixes=suffixes,
                **more,
            )

        with pytest.raises(ValueError, match=f"at least {1 + count}"):
            open_binding(count)
        open_binding(1 + count)
        with pytest.raises(NotImplementedError):
            open_binding(64, tombstone=BaseDocument())
        with pytest.raises(NotImplementedError):
            open_binding(64, fetch_snapshot=lambda log: None)
        capture.stopping.event.set()


# Time slices


async def test_an_item_over_its_time_slice_yields_to_those_waiting_and_goes_on_where_it_was() -> None:
    state = accounts("acct_1", "acct_2")
    pages = {"acct_1_active": 40, "acct_1_inactive": 25, "acct_2_active": 40, "acct_2_inactive": 1}
    source = Source(pages=pages)
    async with capturing(source, state, max_subtasks=3, time_slice=timedelta(seconds=10)) as capture:
        await asyncio.sleep(25)
        waiting = len(source.reads)
        await asyncio.sleep(100)
    turns = [account for _, account in source.sweeps]
    assert turns[:5] == ["acct_1", "acct_2", "acct_1", "acct_2", "acct_1"]
    assert waiting < sum(pages.values())
    assert {key: source.read(key) for key in pages} == {
        key: list(range(count)) for key, count in pages.items()
    }
    assert len(capture.output.documents) == sum(pages.values())
    assert state.backfill == dict.fromkeys(pages)


async def test_an_item_over_its_time_slice_goes_on_while_nobody_waits() -> None:
    state = accounts("acct_1", "acct_2", done=["acct_2"])
    source = Source(pages=defaultdict(lambda: 200))
    async with capturing(source, state, time_slice=timedelta(seconds=10)):
        await asyncio.sleep(100)
    assert len(source.swept("acct_1")) == 1


async def test_only_items_over_their_time_slice_yield() -> None:
    state = accounts("acct_1", "acct_2", "acct_3", "acct_4", suffixes=[""])
    source = Source(pages=defaultdict(lambda: ENDLESS, acct_2=5))
    async with capturing(source, state, suffixes=None, max_subtasks=4, time_slice=timedelta(seconds=20)):
        await asyncio.sleep(30)
    turns = [("acct_1", 0), ("acct_2", 0), ("acct_3", 5), ("acct_4", 20), ("acct_1", 25)]
    assert [(account, round(at)) for at, account in source.sweeps] == turns


async def test_a_long_backfill_follows_its_accounts_changes_once_per_interval() -> None:
    async def changes(log: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
        yield {"id": "changed"}
        yield clock() - timedelta(seconds=60)

    state = accounts("acct_1", read=400)
    source = Source(
        pages=defaultdict(lambda: ENDLESS), changes={"acct_1": changes}, page_seconds=defaultdict(lambda: 10)
    )
    async with capturing(source, state) as capture:
        await asyncio.sleep(3_600)
    assert [round(at) for at in source.swept("acct_1")] == list(range(0, 3_600, 300))
    assert [doc["id"] for _, doc in capture.output.documents].count("changed") == 12


async def test_an_account_that_follows_its_changes_is_not_starved_by_endless_backfills() -> None:
    state = accounts("acct_1", "acct_2", "acct_3", done=["acct_3"])
    source = Source(pages=defaultdict(lambda: ENDLESS))
    async with capturing(
        source, state, max_subtasks=3, time_slice=timedelta(seconds=20), max_wait=timedelta(seconds=100)
    ):
        await asyncio.sleep(2_000)
    swept = source.swept("acct_3")
    assert len(swept) >= 4
    assert max(gaps(swept)) <= 300 + 100 + 40


# What is left in the state


async def test_a_variant_is_cleared_when_it_is_complete_and_not_when_the_capture_stops() -> None:
    state = accounts("acct_1")
    initial = dump(state)
    source = Source(pages={"acct_1_active": 10, "acct_1_inactive": 3})
    async with capturing(source, state) as capture:
        await asyncio.sleep(5.5)
    left = merged(initial, capture.output.checkpoints)["backfill"]
    assert set(left) == {"acct_1_active"}
    assert left["acct_1_active"]["next_page"] == "6", "the page that was being read is captured"
    assert isinstance(state.backfill, dict)
    assert state.backfill["acct_1_inactive"] is None
    assert state.backfill["acct_1_active"] is not None

    again = Source(pages=source.pages)
    async with capturing(again, ResourceState.model_validate({**initial, "backfill": left})):
        await asyncio.sleep(10)
    assert again.read("acct_1_active") == [6, 7, 8, 9]
    assert again.read("acct_1_inactive") == []


async def test_an_account_without_anything_to_backfill_only_follows_its_changes() -> None:
    state = accounts("acct_1", suffixes=[""])
    source = Source(without_backfill={"acct_1"})
    async with capturing(source, state, suffixes=None) as capture:
        await asyncio.sleep(10 * INTERVAL + 1)
    assert len(source.swept("acct_1")) == 11
    assert source.reads == []
    assert capture.output.checkpoints == []


# Ends


@pytest.mark.parametrize("failing", ["page", "changes", "factory"])
async def test_an_error_in_one_account_fails_the_capture_with_it(failing: str) -> None:
    class Broken(Source):
        def fetch_changes(self, account_id: str) -> ChangesFn:
            if account_id == "acct_2" and failing == "factory":
                raise LookupError("the third page")
            return super().fetch_changes(account_id)

        async def _fetch_page(
            self, account_id: str, key: str, log: Logger, page: PageCursor, cutoff: LogCursor
        ) -> AsyncGenerator[Any, None]:
            async for each in super()._fetch_page(account_id, key, log, page, cutoff):
                if each == "3" and key == "acct_2_active" and failing == "page":
                    raise LookupError("the third page")
                yield each

    async def broken(log: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
        await asyncio.sleep(3)
        yield {"id": "half"}
        raise LookupError("the third page")

    state = accounts("acct_1", "acct_2", "acct_3")
    initial = dump(state)
    source = Broken(pages=defaultdict(lambda: 50), changes={"acct_2": broken} if failing == "changes" else {})
    async with capturing(source, state) as capture:
        async with asyncio.timeout(60):
            await capture.stopping.event.wait()
        failed_at = time()
    assert isinstance(capture.stopping.first_error, LookupError)
    assert "acct_2" in str(capture.stopping.first_error_task) or failing == "factory"
    assert capture.ended_at is not None
    assert capture.ended_at - failed_at <= 10
    assert set(merged(initial, capture.output.checkpoints)["backfill"]) == set(initial["backfill"])
    assert "half" not in str(capture.output.documents)
    assert max((at for at, *_ in source.reads), default=0) <= failed_at


@pytest.mark.parametrize("after", [0.0, 0.5, 17.0, INTERVAL + 100])
async def test_stopping_ends_everything(after: float) -> None:
    state = accounts("acct_1", "acct_2", "acct_3", done=["acct_3"])
    source = Source(pages=defaultdict(lambda: 60), page_seconds=defaultdict(lambda: 9.0))
    async with capturing(source, state, max_subtasks=3, time_slice=timedelta(seconds=10)) as capture:
        await asyncio.sleep(after)
        stopped_at = time()
    assert capture.stopping.first_error is None
    begun_at = [at for at, *_ in source.reads] + [at for at, _ in source.sweeps]
    assert max(begun_at, default=0) <= stopped_at


# Idleness


async def test_an_idle_scheduler_wakes_only_for_its_accounts_intervals() -> None:
    ids = ["acct_1", "acct_2", "acct_3"]
    source = Source()
    async with capturing(source, accounts(*ids, done=ids), interval=3_600) as capture:
        await asyncio.sleep(100 * 3_600)
    assert len(source.sweeps) == 3 * 100
    assert capture.readings < 30 * len(source.sweeps)


async def test_a_waiting_account_causes_no_busy_waking() -> None:
    source = Source(pages=defaultdict(lambda: ENDLESS), page_seconds=defaultdict(lambda: 1_000.0))
    state = accounts("acct_1", "acct_2")
    async with running_capture() as capture:
        open_binding_with_priority_queue(
            binding(timedelta(hours=100)),
            0,
            state,
            capture.task,
            ["acct_1", "acct_2"],
            source.fetch_changes,
            source.fetch_page,
            config=PriorityQueueConfig(max_subtasks=3, now=clock),
            backfill_subtask_suffixes=HALVES,
        )
        await asyncio.sleep(36_000)
        capture.stopping.event.set()
    assert len(source.reads) == 2 * 36
    assert capture.readings < 60 * len(source.reads)


async def test_an_interval_of_zero_reads_an_account_once_a_second() -> None:
    source = Source(pages={"acct_2_active": ENDLESS})
    state = accounts("acct_1", "acct_2", done=["acct_1", "acct_2_inactive"])
    async with capturing(source, state, interval=0):
        await asyncio.sleep(60.5)
    assert len(source.swept("acct_1")) == 61
    assert len(source.swept("acct_2")) == 61


def test_an_account_that_becomes_due_while_the_clock_is_read_is_not_forgotten() -> None:
    """The clock moves on a little with every reading, and a second account comes due a little later than the
    first, whose turn is long."""

    async def first_sweeps(later: float) -> list[str]:
        state = accounts("acct_1", "acct_2", done=["acct_1", "acct_2"])
        last_read(state, acct_1=later, acct_2=0)
        source = Source(sweep_seconds=defaultdict(lambda: 9.0))
        async with capturing(source, state, interval=10):
            loop, readings = asyncio.get_running_loop(), itertools.count()
            with pytest.MonkeyPatch.context() as patch:
                real = loop.time
                patch.setattr(loop, "time", lambda: real() + next(readings) * 0.01)
                await asyncio.sleep(15)
        return [account for _, account in source.sweeps]

    for hundredths in range(20):
        swept = run_on_virtual_time(first_sweeps(hundredths / 100 + 0.005))
        assert sorted(swept) == ["acct_1", "acct_2"]


# A new backfill of one account


def asking(*at: int) -> ChangesFn:
    """Changes that yield half a sweep and then ask for a new backfill, in the sweeps of those numbers."""
    sweeps = itertools.count()

    async def changes(log: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
        if next(sweeps) in at:
            yield {"id": "half"}
            yield Triggers.BACKFILL

    return changes


async def test_a_trigger_begins_that_account_alone_from_a_fresh_cutoff() -> None:
    state = accounts("acct_1", "acct_2")
    initial = dump(state)
    source = Source(
        pages=defaultdict(lambda: 400, acct_1_inactive=3),
        page_seconds=defaultdict(lambda: 1.3),
        changes={"acct_1": asking(1)},
    )
    async with capturing(source, state) as capture:
        await asyncio.sleep(INTERVAL - 10)
        before = len(capture.output.checkpoints)
        await asyncio.sleep(11.5)
        now = merged(initial, capture.output.checkpoints)
        await asyncio.sleep(800)

    restarts = [
        each
        for each in capture.output.checkpoints[before:]
        if "acct_1" in (each.binding_state.get("inc") or {})
    ]
    assert len(restarts) == 1, "one checkpoint: all of it or none"
    at = EPOCH + timedelta(seconds=int(restarts[0].at))
    cutoff = at.isoformat().replace("+00:00", "Z")
    assert now["inc"]["acct_1"] == {"cursor": cutoff}
    assert {key for key in now["backfill"] if key.startswith("acct_1")} == {
        "acct_1_active",
        "acct_1_inactive",
    }
    for half in HALVES:
        fresh = restarts[0].binding_state["backfill"][f"acct_1{half}"]
        assert fresh == {"cutoff": cutoff, "next_page": None}
    assert now["inc"]["acct_2"] == initial["inc"]["acct_2"]
    assert now["backfill"]["acct_2_active"]["cutoff"] == initial["backfill"]["acct_2_active"]["cutoff"]

    assert "half" not in [document["id"] for _, document in capture.output.documents]
    pages = source.read("acct_1_active")
    assert pages == [*range(pages.index(0, 1)), *range(400)]
    assert source.read("acct_1_inactive") == [0, 1, 2, 0, 1, 2]
    assert source.read("acct_2_active") == list(range(400))
    assert not merged(initial, capture.output.checkpoints)["backfill"]


async def test_a_trigger_of_an_account_that_was_backfilled_backfills_it_again_at_once() -> None:
    state = accounts("acct_1", done=["acct_1"])
    source = Source(pages=defaultdict(lambda: 5), changes={"acct_1": asking(0)})
    async with capturing(source, state):
        await asyncio.sleep(10)
    assert source.read("acct_1_active") == source.read("acct_1_inactive") == list(range(5))
    assert [round(at) for at in source.swept("acct_1")] == [0, 0]
    assert state.backfill == {"acct_1_active": None, "acct_1_inactive": None}


# Whatever the accounts and the limits


@dataclass(frozen=True)
class Case:
    pages: dict[str, int]
    suffixes: list[str]
    page_seconds: dict[str, float]
    sweep_seconds: dict[str, float]
    ages: dict[str, int]
    interval: int
    max_subtasks: int
    time_slice: int
    max_wait: int
    killed_after: float
    """The part of its checkpoints that the first session gets to make."""

    @property
    def patience(self) -> float:
        """The longest that an account may go without being read: it rests, waits until nobody may pass it any
        more, then for a turn of each other account, and its own turn ends."""
        turn = self.time_slice + max([*self.page_seconds.values(), *self.sweep_seconds.values()])
        return max(self.interval, 1) + self.max_wait + (len(self.ages) + 1) * turn


@st.composite
def cases(draw: st.DrawFn) -> Case:
    suffixes = draw(st.sampled_from([[""], HALVES, ["_a", "_b", "_c"]]))
    ids = [f"acct_{number}" for number in range(draw(st.integers(1, 4)))]
    seconds = st.sampled_from([1.0, 2.0, 2.5])
    return Case(
        pages={
            f"{each}{suffix}": draw(st.sampled_from([0, 1, 3, 8, ENDLESS]))
            for each in ids
            for suffix in suffixes
        },
        suffixes=suffixes,
        page_seconds={each: draw(seconds) for each in ids},
        sweep_seconds={each: draw(st.sampled_from([0.0, 0.5, 2.0])) for each in ids},
        ages={each: draw(st.integers(0, 100)) for each in ids},
        interval=draw(st.sampled_from([0, 5, 15])),
        max_subtasks=1 + len(suffixes) + draw(st.integers(0, 4)),
        time_slice=draw(st.sampled_from([1, 4])),
        max_wait=draw(st.sampled_from([0, 10, 30])),
        killed_after=draw(st.floats(0, 1)),
    )


async def session(case: Case, state: ResourceState) -> tuple[Source, list[Checkpoint]]:
    source = Source(
        pages=case.pages, page_seconds=dict(case.page_seconds), sweep_seconds=dict(case.sweep_seconds)
    )
    async with capturing(
        source,
        state,
        interval=case.interval,
        suffixes=case.suffixes,
        max_subtasks=case.max_subtasks,
        time_slice=timedelta(seconds=case.time_slice),
        max_wait=timedelta(seconds=case.max_wait),
    ) as capture:
        await asyncio.sleep(2 * case.patience)
    assert capture.stopping.first_error is None
    return source, capture.output.checkpoints


def unfinished(state: Json) -> dict[str, int]:
    """The next page of each unfinished variant."""
    return {key: int(each.get("next_page") or 0) for key, each in state.get("backfill", {}).items()}


@settings(max_examples=12, deadline=None)
@given(cases())
def test_no_account_starves_and_no_page_is_lost_or_read_twice(case: Case) -> None:
    done = [key for key, count in case.pages.items() if count == 0]
    state = accounts(*case.ages, done=done, suffixes=case.suffixes)
    last_read(state, **case.ages)
    flow, captured = dump(state), [f"{key} {page}" for key in done for page in range(0)]
    for killed_after in (case.killed_after, 1):
        at_start = unfinished(flow)
        source, checkpoints = run_on_virtual_time(
            session(case, ResourceState.model_validate({"backfill": {}, **flow}))
        )
        assert source.most_subtasks <= case.max_subtasks

        horizon = 2 * case.patience
        for account_id in case.ages:
            assert max(gaps([0, *source.swept(account_id), horizon])) <= case.patience
        for key, first in at_start.items():
            reads = [(at, page) for at, each, page in source.reads if each == key]
            assert [page for _, page in reads] == list(range(first, first + len(reads)))
            end = [] if first + len(reads) == case.pages[key] else [horizon]
            assert max(gaps([0, *(at for at, _ in reads), *end]), default=0) <= case.patience
        assert {key for _, key, _ in source.reads} <= at_start.keys()

        for checkpoint in checkpoints[: int(killed_after * len(checkpoints))]:
            flow = merged(flow, [checkpoint])
            captured += [document["id"] for _, document in checkpoint.documents]
            at = unfinished(flow)
            expected = [
                f"{key} {page}" for key, count in case.pages.items() for page in range(at.get(key, count))
            ]
            assert sorted(captured) == sorted(expected)
