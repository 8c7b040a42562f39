"""Our loops against the CDK's: the same fetch functions give the same documents, checkpoints and errors,
whichever loop drives them. Cursors are Stripe's: text for pages, times for changes.

By design they differ where a fetch of changes asks for a new backfill: the CDK begins the binding anew, the
scheduler one account of it. And the CDK's loop waits for a cursor that is ahead of the machine's clock.
"""

import asyncio
import copy
import functools
import itertools
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from logging import Logger
from typing import Any, Final

import pytest
from estuary_cdk.capture.common import (
    AssociatedDocument,
    BaseDocument,
    LogCursor,
    PageCursor,
    ResourceState,
    Triggers,
    _binding_backfill_task,
    _binding_incremental_task,
)
from estuary_cdk.capture.task import Task

from source_stripe_native.events.change_loop import EarlyChanges, follow_changes
from source_stripe_native.flow.output import Commit
from source_stripe_native.priority_capture import (
    BackfillVariant,
    PriorityQueueConfig,
    SubtaskExecutor,
    WorkItem,
    WorkItemPriority,
    _binding_backfill_task_with_variant,
)
from tests.cdk_task import STATE_KEY, Capture, Json, binding, on_virtual_time, running_capture

pytestmark = on_virtual_time

ACCOUNT: Final = "acct_1"
SUFFIX: Final = "_active"
KEY: Final = ACCOUNT + SUFFIX
INDEX: Final = 3
CUTOFF: Final = datetime(2026, 5, 28, 12, tzinfo=UTC)
STOP: Final = object()
"""In a script: the capture is told to stop."""


class Thing(BaseDocument):
    id: str


def minutes(number: int) -> datetime:
    return CUTOFF + timedelta(minutes=number)


@dataclass
class Trace:
    """All that Flow and the fetch function see of a loop, and the state that it leaves in memory."""

    asked: list[Any] = field(default_factory=list)
    checkpoints: list[tuple[list[tuple[int, Json]], Json]] = field(default_factory=list)
    state: Json = field(default_factory=dict)
    error: type[BaseException] | None = None

    is_complete: bool | None = field(default=None, compare=False)
    """Ours alone tells."""

    @property
    def documents(self) -> list[str]:
        return [document["id"] for documents, _ in self.checkpoints for _, document in documents]

    def finish(self, capture: Capture, state: ResourceState.Backfill | ResourceState.Incremental) -> "Trace":
        # Cursors that moved without a document are written along with those of other accounts here.
        self.checkpoints = [
            (each.documents, each.state)
            for each in capture.output.checkpoints
            if each.documents or "inc" not in each.state["bindingStateV1"]["Things"]
        ]
        self.state = state.model_dump(mode="json")
        if capture.stopping.first_error is not None:
            self.error = type(capture.stopping.first_error)
        return self


async def play(script: Sequence[Any], stopping: Task.Stopping, *_: Any) -> AsyncGenerator[Any, None]:
    for each in script:
        await asyncio.sleep(1)
        if each is STOP:
            stopping.event.set()
        elif isinstance(each, Exception):
            raise each
        else:
            yield copy.deepcopy(each)  # a loop may take a dict apart


# Backfills


@dataclass(frozen=True)
class Pages:
    """What a fetch of pages yields for each page it is asked for; None is the first."""

    script: dict[str | None, list[Any]]
    next_page: str | None = None
    documents: str = ""
    """The ids that are captured."""
    error: type[Exception] | None = None
    completed: bool = True
    stopped_before: bool = False
    connector_initiated: bool | None = None
    """Of a recurring fetch; None for one that does not take it."""


def things(ids: str) -> list[Json]:
    return [{"id": each} for each in ids]


PAGES: Final = {
    "nothing": Pages({None: []}),
    "one page": Pages({None: things("ab")}, documents="ab"),
    "pages": Pages(
        {None: [*things("ab"), "1"], "1": [*things("c"), "2"], "2": things("d")}, documents="abcd"
    ),
    "two pages of one call": Pages(
        {None: [*things("a"), "1", *things("b"), "2"], "2": things("c")}, documents="abc"
    ),
    "documents after a cursor end it": Pages({None: [*things("a"), "1", *things("b")]}, documents="ab"),
    "an empty page in between": Pages({None: ["1"], "1": [*things("a"), "2"], "2": []}, documents="a"),
    "resumed": Pages({"7": [*things("a"), "8"], "8": things("b")}, next_page="7", documents="ab"),
    "models": Pages({None: [Thing(id="a"), "1"], "1": [Thing(id="b")]}, documents="ab"),
    "of another binding": Pages(
        {
            None: [AssociatedDocument(Thing(id="a"), 7), *things("b"), "1"],
            "1": [AssociatedDocument(Thing(id="c"), 0)],
        },
        documents="abc",
    ),
    "recurring, by the user": Pages(
        {None: [*things("a"), "1"], "1": things("b")}, documents="ab", connector_initiated=False
    ),
    "recurring, by the schedule": Pages({None: things("a")}, documents="a", connector_initiated=True),
    "None as a cursor": Pages({None: [*things("a"), None]}, error=RuntimeError, completed=False),
    "None after a page": Pages(
        {None: [*things("a"), "1"], "1": [*things("b"), None]},
        documents="a",
        error=RuntimeError,
        completed=False,
    ),
    "an error": Pages(
        {None: [*things("a"), "1"], "1": [*things("b"), LookupError("gone")]},
        documents="a",
        error=LookupError,
        completed=False,
    ),
    "stopped before": Pages({}, stopped_before=True, completed=False),
    "stopped within a page": Pages(
        {None: [*things("a"), "1"], "1": [*things("b"), STOP, *things("c"), "2"]},
        documents="abc",
        completed=False,
    ),
    "stopped within the last page": Pages({None: [*things("a"), STOP, *things("b")]}, documents="ab"),
}


async def backfill_of_cdk(
    fetch_page: Any, state: ResourceState.Backfill, connector_initiated: bool, task: Task
) -> None:
    await _binding_backfill_task(
        binding(), INDEX, fetch_page, state, CUTOFF, connector_initiated, task, subtask_id=KEY
    )


async def backfill_of_ours(
    fetch_page: Any, state: ResourceState.Backfill, connector_initiated: bool, task: Task
) -> bool:
    variant = BackfillVariant(SUFFIX, fetch_page, state)
    changes, inc = functools.partial(play, [], task.stopping), ResourceState.Incremental(cursor=CUTOFF)
    item = WorkItem(ACCOUNT, WorkItemPriority.BACKFILL, changes, inc, [variant])
    return await _binding_backfill_task_with_variant(
        binding(), INDEX, variant, ACCOUNT, CUTOFF, connector_initiated, task, item
    )


async def trace_of_pages(backfill: Callable[..., Any], case: Pages) -> Trace:
    state = ResourceState.Backfill(cutoff=CUTOFF, next_page=case.next_page)
    seen = Trace()
    async with running_capture() as capture:

        def fetch_page(log: Logger, page: PageCursor, cutoff: LogCursor) -> AsyncGenerator[Any, None]:
            assert page is None or isinstance(page, str)
            seen.asked.append((page, cutoff))
            return play(case.script[page], capture.stopping)

        def recurring(
            log: Logger, page: PageCursor, cutoff: LogCursor, connector_initiated: bool
        ) -> AsyncGenerator[Any, None]:
            seen.asked.append(connector_initiated)
            return fetch_page(log, page, cutoff)

        async def run(task: Task) -> None:
            fetch = fetch_page if case.connector_initiated is None else recurring
            seen.is_complete = await backfill(fetch, state, bool(case.connector_initiated), task)

        if case.stopped_before:
            capture.stopping.event.set()
        capture.task.spawn_child("backfill", run)
    return seen.finish(capture, state)


@pytest.mark.parametrize("case", PAGES.values(), ids=PAGES)
async def test_a_backfill_is_the_cdks(case: Pages) -> None:
    theirs, ours = await trace_of_pages(backfill_of_cdk, case), await trace_of_pages(backfill_of_ours, case)
    assert ours == theirs
    assert "".join(ours.documents) == case.documents
    assert ours.error is case.error
    cleared = bool(ours.checkpoints) and ours.checkpoints[-1][1] == {
        "bindingStateV1": {STATE_KEY: {"backfill": {KEY: None}}}
    }
    assert cleared == case.completed
    if case.error is None:
        assert ours.is_complete is case.completed


async def test_a_page_cursor_that_is_no_text_is_an_error() -> None:
    case = Pages({None: [*things("a"), 100]})
    seen = await trace_of_pages(backfill_of_ours, case)
    assert (seen.error, seen.documents) == (RuntimeError, [])


# Changes


@dataclass(frozen=True)
class Changes:
    """What each call of a fetch of changes yields. After the last one the capture is told to stop."""

    calls: list[list[Any]]
    cursor: LogCursor = CUTOFF
    documents: str = ""
    """The ids that are captured."""
    error: type[Exception] | None = None


CHANGES: Final = {
    "none": Changes([[], []]),
    "a window": Changes([[*things("ab"), minutes(5)]], documents="ab"),
    "windows": Changes(
        [
            [*things("a"), minutes(5)],
            [*things("b"), minutes(10), *things("c"), minutes(15)],
            [],
            [minutes(20)],
        ],
        documents="abc",
    ),
    "an empty window": Changes([[minutes(5)], [*things("a"), minutes(6)]], documents="a"),
    "models": Changes([[Thing(id="a"), minutes(5)]], documents="a"),
    "of another binding": Changes(
        [[AssociatedDocument(Thing(id="a"), 7), *things("b"), minutes(5)]], documents="ab"
    ),
    "stopped within a sweep": Changes([[*things("a"), STOP, *things("b"), minutes(5)]], documents="ab"),
    "no cursor after documents": Changes([things("a")], error=RuntimeError),
    "no cursor after the last documents": Changes(
        [[*things("a"), minutes(5), *things("b")]], documents="a", error=RuntimeError
    ),
    "a cursor going back": Changes([[*things("a"), minutes(-1)]], error=RuntimeError),
    "a cursor going back later": Changes(
        [[*things("a"), minutes(5)], [*things("b"), minutes(4)]], documents="a", error=RuntimeError
    ),
    "the same cursor": Changes([[*things("a"), minutes(0)]], error=RuntimeError),
    "an offset after a time": Changes([[*things("a"), 7]], error=RuntimeError),
    "a name after a time": Changes([[*things("a"), ("b",)]], error=RuntimeError),
    "plain text": Changes([[*things("a"), "b"]], error=RuntimeError),
    "None": Changes([[*things("a"), None]], error=RuntimeError),
    "an error": Changes(
        [[*things("a"), minutes(5), *things("b"), LookupError("gone")]], documents="a", error=LookupError
    ),
}


async def changes_of_cdk(fetch: Any, state: ResourceState.Incremental, task: Task) -> None:
    await _binding_incremental_task(binding(), INDEX, fetch, state, task, subtask_id=ACCOUNT)


async def changes_of_ours(fetch: Any, state: ResourceState.Incremental, task: Task) -> None:
    # One turn after the other: to let an account rest in between is the scheduler's part.
    while not task.stopping.event.is_set():
        item = WorkItem(ACCOUNT, WorkItemPriority.INCREMENTAL, fetch, state)
        executor = SubtaskExecutor(binding(), INDEX, ResourceState(), [""], PriorityQueueConfig())
        await executor._execute_incremental_subtask(item, task)


async def trace_of_changes(follow: Callable[..., Any], case: Changes) -> Trace:
    state = ResourceState.Incremental(cursor=case.cursor)
    seen, calls = Trace(), iter(case.calls)
    async with running_capture() as capture:

        def fetch(log: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
            seen.asked.append(cursor)
            return play(next(calls, [STOP]), capture.stopping)

        capture.task.spawn_child("incremental", functools.partial(follow, fetch, state))
    return seen.finish(capture, state)


@pytest.mark.parametrize("case", CHANGES.values(), ids=CHANGES)
async def test_following_changes_is_the_cdks(case: Changes) -> None:
    theirs, ours = await trace_of_changes(changes_of_cdk, case), await trace_of_changes(changes_of_ours, case)
    assert ours == theirs
    assert "".join(ours.documents) == case.documents
    assert ours.error is case.error


# Changes of a single account, whose loop stops the capture where the fetch asks for a new backfill


ASKING: Final = {
    "a new backfill": Changes([[Triggers.BACKFILL]]),
    "a new backfill after a window": Changes(
        [[*things("a"), minutes(5)], [Triggers.BACKFILL]], documents="a"
    ),
    "a new backfill within a sweep": Changes(
        [[*things("a"), minutes(5), *things("b"), Triggers.BACKFILL]], documents="ab"
    ),
}


class Ending:
    """Failures that end the loop, as in the CDK."""

    async def pause(self, error: Exception) -> timedelta:
        raise error

    def end(self) -> None:
        pass


async def single_changes_of_cdk(fetch: Any, state: ResourceState.Incremental, task: Task) -> None:
    await _binding_incremental_task(binding(), INDEX, fetch, state, task)


async def single_changes_of_ours(fetch: Any, state: ResourceState.Incremental, task: Task) -> None:
    await follow_changes(binding(), INDEX, fetch, state, lambda: datetime.now(tz=UTC), Ending(), task)


@dataclass
class Followed:
    """What is seen of a loop, with the seconds of virtual time at which it asks and writes."""

    asked: list[tuple[int, LogCursor]] = field(default_factory=list)
    checkpoints: list[tuple[int, list[tuple[int, Json]], Json]] = field(default_factory=list)
    cursor: LogCursor = 0
    error: type[BaseException] | None = None
    stopped: bool = False
    ended: int = 0


async def followed(follow: Callable[..., Any], case: Changes, stop_after: float | None = None) -> Followed:
    state, seen, calls = ResourceState.Incremental(cursor=case.cursor), Followed(), iter(case.calls)
    time = asyncio.get_running_loop().time
    start = time()

    def passed() -> int:
        return round(time() - start)

    async with running_capture() as capture:

        def fetch(log: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
            seen.asked.append((passed(), cursor))
            return play(next(calls, [STOP]), capture.stopping)

        capture.task.spawn_child("incremental", functools.partial(follow, fetch, state))
        if stop_after is not None:
            await asyncio.sleep(stop_after)
            capture.stopping.event.set()
    seen.checkpoints = [
        (round(each.at - start), each.documents, each.state) for each in capture.output.checkpoints
    ]
    seen.cursor, seen.stopped, seen.ended = state.cursor, capture.stopping.event.is_set(), passed()
    if capture.stopping.first_error is not None:
        seen.error = type(capture.stopping.first_error)
    return seen


@pytest.mark.parametrize("case", [*CHANGES.values(), *ASKING.values()], ids=[*CHANGES, *ASKING])
async def test_following_a_single_accounts_changes_is_the_cdks(case: Changes) -> None:
    theirs, ours = await followed(single_changes_of_cdk, case), await followed(single_changes_of_ours, case)
    assert ours == theirs
    assert ours.error is case.error
    assert (
        "".join(each["id"] for _, documents, _ in ours.checkpoints for _, each in documents) == case.documents
    )


@pytest.mark.parametrize("stop_after", [None, 1, 100, 301])
@pytest.mark.parametrize("age", [0, 60, 299, 300, 301, 900, 86_400])
async def test_a_single_accounts_loop_asks_at_once_and_rests_as_long_as_the_cdks(
    age: int, stop_after: float | None
) -> None:
    cursor = datetime.now(tz=UTC) - timedelta(seconds=age)
    windows = [[cursor + timedelta(seconds=age * part / 4)] for part in (1, 2, 3)]
    case = Changes([[], *windows, [], []] if age else [[], []], cursor=cursor)
    # Ours asks at once; theirs rests before.
    first = (await followed(single_changes_of_cdk, case)).asked[0][0]
    theirs = await followed(single_changes_of_cdk, case, stop_after and first + stop_after)
    ours = await followed(single_changes_of_ours, case, stop_after)
    assert [at for at, _ in ours.asked] == pytest.approx([at - first for at, _ in theirs.asked], abs=2)
    assert [each for _, each in ours.asked] == [each for _, each in theirs.asked]
    assert ours.ended == pytest.approx(theirs.ended - first, abs=2)


@pytest.mark.parametrize("ahead", [timedelta(seconds=5), timedelta(hours=1), timedelta(days=2)], ids=str)
async def test_a_rest_is_never_longer_than_the_interval(ahead: timedelta) -> None:
    """Whatever the clock says, which the CDK's loop would wait for."""
    case = Changes([[], []], cursor=datetime.now(tz=UTC) + ahead)
    seen = await followed(single_changes_of_ours, case)
    assert [at for at, _ in seen.asked] == pytest.approx([0, 300, 600], abs=2)


@pytest.mark.parametrize("ahead", [timedelta(days=2), timedelta(hours=-1), timedelta(days=-400)], ids=str)
async def test_the_machines_clock_does_not_count(ahead: timedelta) -> None:
    stripes = datetime.now(tz=UTC) + ahead

    async def follow(fetch: Any, state: ResourceState.Incremental, task: Task) -> None:
        await follow_changes(binding(), INDEX, fetch, state, lambda: stripes, Ending(), task)

    behind = Changes([[stripes - timedelta(minutes=6)], []], cursor=stripes - timedelta(minutes=10))
    seen = await followed(follow, behind)
    assert [at for at, _ in seen.asked] == pytest.approx([0, 1, 301], abs=2)


@pytest.mark.parametrize("takes", [1, 10, 400])
async def test_notices_without_a_pause_hold_up_no_reading_that_is_due(takes: float) -> None:
    """Posts of a busy account announce something new while what was announced before is captured."""
    notified, captured = asyncio.Event(), 0
    notified.set()

    async def fetch_early(log: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
        nonlocal captured
        captured += 1
        await asyncio.sleep(takes)
        for item in (*things(str(captured)), Commit()):
            yield item
        notified.set()

    async def follow(fetch: Any, state: ResourceState.Incremental, task: Task) -> None:
        early, now = EarlyChanges(fetch_early, notified), datetime.now(tz=UTC)
        await follow_changes(binding(), INDEX, fetch, state, lambda: now, Ending(), task, early)

    seen = await followed(follow, Changes([[], [], []], cursor=CUTOFF))
    asked = [0, *(at for at, _ in seen.asked)]
    assert max(after - before for before, after in itertools.pairwise(asked)) <= 302 + takes
    assert captured >= len(seen.asked), "notices have their turn too"


async def test_what_failed_early_is_captured_early_after_the_pause() -> None:
    """No window need come to it soon: the cursor of the accounts waits for accounts that rest."""
    notified, captured = asyncio.Event(), list[float]()
    notified.set()

    async def fetch_early(log: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
        captured.append(asyncio.get_running_loop().time())
        if len(captured) == 1:
            raise ValueError("for now")
        yield Commit()

    class Pausing(Ending):
        async def pause(self, error: Exception) -> timedelta:
            return timedelta(minutes=1)

    async def follow(fetch: Any, state: ResourceState.Incremental, task: Task) -> None:
        early, now = EarlyChanges(fetch_early, notified), datetime.now(tz=UTC)
        await follow_changes(binding(), INDEX, fetch, state, lambda: now, Pausing(), task, early)

    await followed(follow, Changes([[], [], []], cursor=CUTOFF))
    assert [round(at) for at in captured] == [0, 60]
