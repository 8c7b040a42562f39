"""The names, attributes, signatures and state keys that Prices and its backfill variants were specified with,
used as they were specified: other code and stored states rely on them."""

import asyncio
import dataclasses
import functools
import importlib
import inspect
import logging
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from logging import Logger
from typing import Any, Final

import pytest
from estuary_cdk.capture.common import BaseDocument, LogCursor, PageCursor, Resource, ResourceState
from estuary_cdk.capture.task import Task

from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from source_stripe_native.api import fetch_backfill_prices, fetch_incremental
from source_stripe_native.models import STREAMS, BaseStripeObjectWithEvents, EndpointConfig, Prices
from source_stripe_native.priority_capture import (
    BackfillVariant,
    FetchPageFnFactoryWithSuffix,
    PriorityCalculator,
    PriorityQueueConfig,
    SubtaskExecutor,
    WorkItem,
    WorkItemManager,
    WorkItemPriority,
    _binding_backfill_task_with_variant,
    open_binding_with_priority_queue,
)
from source_stripe_native.resources import (
    PRICES_BACKFILL_SUFFIXES,
    _create_prices_initial_state,
    _reconcile_prices_state,
    all_resources,
    prices_object,
)
from source_stripe_native.stripe.client import StripeSession
from tests.capture import UNLIMITED
from tests.cdk_task import STATE_KEY, Json, binding, merged, running_capture
from tests.conftest import NOW

CUTOFF: Final = datetime.fromtimestamp(NOW, tz=UTC)
START: Final = datetime(2020, 1, 1, tzinfo=UTC)
LOG: Final = logging.getLogger("contract")
ACCOUNTS: Final = ["acct_1", "acct_2"]


async def no_pages(log: Logger, page: PageCursor, cutoff: LogCursor) -> AsyncGenerator[Any, None]:
    return
    yield


async def no_changes(log: Logger, cursor: LogCursor) -> AsyncGenerator[Any, None]:
    return
    yield


def dump(state: ResourceState) -> Json:
    return state.model_dump(mode="json", include={"inc", "backfill"}, exclude_none=True)


def work_item(account_id: str, *variants: BackfillVariant) -> WorkItem:
    return WorkItem(
        account_id=account_id,
        priority=WorkItemPriority.BACKFILL,
        incremental_fetch_fn=no_changes,
        incremental_state=ResourceState.Incremental(cursor=CUTOFF),
        backfill_variants=list(variants),
    )


def variant(suffix: str) -> BackfillVariant:
    return BackfillVariant(
        suffix=suffix, fetch_fn=no_pages, state=ResourceState.Backfill(next_page=None, cutoff=CUTOFF)
    )


# Names


@pytest.mark.parametrize(
    ("module", "names"),
    {
        "models": "Prices BaseStripeObjectWithEvents STREAMS",
        "api": "fetch_backfill fetch_backfill_prices fetch_incremental",
        "protocols": "FetchChangesFnFactory FetchPageFnFactory FetchPageFnFactoryWithSuffix",
        "priority_capture": "FetchChangesFnFactory FetchPageFnFactory FetchPageFnFactoryWithSuffix "
        "BackfillVariant WorkItem WorkItemPriority PriorityCalculator WorkItemManager SubtaskExecutor "
        "PriorityQueueConfig _binding_backfill_task_with_variant open_binding_with_priority_queue",
        "resources": "PRICES_BACKFILL_SUFFIXES _create_prices_initial_state _reconcile_prices_state "
        "prices_object base_object all_resources",
    }.items(),
)
def test_every_name_is_in_its_module(module: str, names: str) -> None:
    found = vars(importlib.import_module(f"source_stripe_native.{module}"))
    assert [name for name in names.split() if name not in found] == []


def test_the_factory_protocol_is_the_same_from_either_module() -> None:
    protocols = importlib.import_module("source_stripe_native.protocols")
    assert FetchPageFnFactoryWithSuffix is protocols.FetchPageFnFactoryWithSuffix
    assert list(inspect.signature(FetchPageFnFactoryWithSuffix.__call__).parameters) == [
        "self",
        "account_id",
        "suffix",
    ]


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (
            open_binding_with_priority_queue,
            "binding binding_index resource_state task all_account_ids fetch_changes_factory "
            "fetch_page_factory fetch_snapshot=None tombstone=None config=None "
            "backfill_subtask_suffixes=None",
        ),
        (
            _binding_backfill_task_with_variant,
            "binding binding_index variant account_id last_initialized is_connector_initiated task work_item",
        ),
        (
            fetch_backfill_prices,
            "cls start_date platform_account_id connected_account_id active http log page cutoff",
        ),
        (
            prices_object,
            "http start_date platform_account_id connected_account_ids all_account_ids",
        ),
        (_create_prices_initial_state, "account_ids"),
        (_reconcile_prices_state, "account_ids binding state initial_state task"),
        (BackfillVariant.state_key, "self account_id"),
        (WorkItem.has_backfill_work, "self"),
        (PriorityCalculator.get_account_priority, "self account_id"),
        (WorkItemManager._get_backfill_work, "self account_id"),
        (SubtaskExecutor.execute_work_item, "self work_item task"),
    ],
    ids=lambda each: getattr(each, "__qualname__", ""),
)
def test_parameters_have_their_names_order_and_defaults(function: Any, parameters: str) -> None:
    found = inspect.signature(function).parameters.values()
    empty = inspect.Parameter.empty
    assert [
        each.name if each.default is empty else f"{each.name}={each.default}" for each in found
    ] == parameters.split()
    assert {each.kind for each in found} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}


def test_prices_is_a_stream_with_events() -> None:
    assert issubclass(Prices, BaseStripeObjectWithEvents)
    assert Prices in STREAMS
    assert (Prices.NAME, Prices.SEARCH_NAME) == ("Prices", "prices")
    assert Prices.EVENT_TYPES == {"price.created": "c", "price.updated": "u", "price.deleted": "d"}
    names = [each.NAME for each in STREAMS]
    assert "Products" not in names or names.index("Prices") == names.index("Products") + 1


# The scheduler's parts


def test_a_variants_state_key_is_account_and_suffix() -> None:
    assert [each.name for each in dataclasses.fields(BackfillVariant)] == ["suffix", "fetch_fn", "state"]
    assert variant("_active").state_key("acct_123") == "acct_123_active"
    assert variant("").state_key("acct_123") == "acct_123"


def test_a_work_item_has_backfill_work_while_it_has_variants() -> None:
    assert [each.name for each in dataclasses.fields(WorkItem)][:6] == [
        "account_id",
        "priority",
        "incremental_fetch_fn",
        "incremental_state",
        "backfill_variants",
        "cancellation_event",
    ]
    idle = WorkItem(
        "acct_1", WorkItemPriority.INCREMENTAL, no_changes, ResourceState.Incremental(cursor=CUTOFF)
    )
    assert not idle.has_backfill_work()
    assert idle.backfill_variants == []
    assert isinstance(idle.cancellation_event, asyncio.Event)
    assert work_item("acct_1", variant("_active")).has_backfill_work()


def test_an_accounts_priority_is_backfill_while_any_composite_key_is_unfinished() -> None:
    state = _create_prices_initial_state(ACCOUNTS)
    assert isinstance(state.backfill, dict)
    state.backfill["acct_1_active"] = None
    state.backfill["acct_2_active"] = state.backfill["acct_2_inactive"] = None
    calculator = PriorityCalculator(state, backfill_subtask_suffixes=PRICES_BACKFILL_SUFFIXES)
    assert calculator.get_account_priority("acct_1") is WorkItemPriority.BACKFILL
    assert calculator.get_account_priority("acct_2") is WorkItemPriority.INCREMENTAL
    assert WorkItemPriority.BACKFILL < WorkItemPriority.INCREMENTAL
    assert [calculator.count_subtasks(each) for each in ACCOUNTS] == [2, 1]


def test_without_suffixes_an_account_has_one_backfill_under_its_own_id() -> None:
    state = ResourceState(
        inc={"acct_1": ResourceState.Incremental(cursor=CUTOFF)},
        backfill={"acct_1": ResourceState.Backfill(next_page="7", cutoff=CUTOFF), "acct_2": None},
    )
    assert PriorityCalculator(state).get_account_priority("acct_1") is WorkItemPriority.BACKFILL
    assert PriorityCalculator(state).get_account_priority("acct_2") is WorkItemPriority.INCREMENTAL
    manager = WorkItemManager(state, lambda account_id: no_changes, lambda account_id: no_pages)
    (only,) = manager._get_backfill_work("acct_1")
    assert (only.suffix, only.fetch_fn, only.state.next_page) == ("", no_pages, "7")
    assert only.state_key("acct_1") == "acct_1"


def test_the_backfill_work_of_an_account_is_its_unfinished_variants() -> None:
    state = _create_prices_initial_state(ACCOUNTS)
    assert isinstance(state.backfill, dict)
    state.backfill["acct_2_active"] = None
    asked = []

    def fetch_page_factory_with_suffix(account_id: str, suffix: str) -> Any:
        asked.append((account_id, suffix))
        return no_pages if account_id != "acct_1" or suffix == "_active" else None

    manager = WorkItemManager(
        state, lambda account_id: no_changes, fetch_page_factory_with_suffix, PRICES_BACKFILL_SUFFIXES
    )
    work = {each: manager._get_backfill_work(each) for each in ACCOUNTS}
    assert [each.suffix for each in work["acct_1"]] == ["_active"], "None is no work"
    assert [each.suffix for each in work["acct_2"]] == ["_inactive"]
    assert work["acct_2"][0].state is state.backfill["acct_2_inactive"]
    assert asked == [("acct_1", "_active"), ("acct_1", "_inactive"), ("acct_2", "_inactive")]


async def test_a_work_item_is_executed_as_a_subtask_for_each_variant_and_one_for_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = _create_prices_initial_state(["acct_123"])
    executor = SubtaskExecutor(binding(), 0, state, PRICES_BACKFILL_SUFFIXES, PriorityQueueConfig())
    item = work_item("acct_123", variant("_active"), variant("_inactive"))
    spawn_child, spawned = Task.spawn_child, []

    def spying(task: Task, name_suffix: str, child: Any) -> Any:
        spawned.append(name_suffix)
        return spawn_child(task, name_suffix, child)

    monkeypatch.setattr(Task, "spawn_child", spying)
    async with running_capture() as capture:
        await executor.execute_work_item(item, capture.task)
    assert spawned == ["backfill.acct_123_active", "backfill.acct_123_inactive", "incremental.acct_123"]
    assert state.backfill == {"acct_123_active": None, "acct_123_inactive": None}
    assert not item.has_backfill_work()
    cleared = [each.binding_state for each in capture.output.checkpoints]
    assert cleared == [{"backfill": {"acct_123_active": None}}, {"backfill": {"acct_123_inactive": None}}]


async def test_a_variant_checkpoints_under_its_composite_key() -> None:
    async def pages(log: Logger, page: PageCursor, cutoff: LogCursor) -> AsyncGenerator[Any, None]:
        yield {"id": "price_1"}
        if page is None:
            yield "price_1"

    state = ResourceState.Backfill(next_page=None, cutoff=CUTOFF)
    active = BackfillVariant(suffix="_active", fetch_fn=pages, state=state)
    async with running_capture() as capture:
        await _binding_backfill_task_with_variant(
            binding(), 0, active, "acct_123", CUTOFF, False, capture.task, work_item("acct_123", active)
        )
    assert [each.state for each in capture.output.checkpoints] == [
        {"bindingStateV1": {STATE_KEY: {"backfill": {"acct_123_active": at}}}}
        for at in ({"cutoff": CUTOFF.isoformat().replace("+00:00", "Z"), "next_page": "price_1"}, None)
    ]


async def test_the_scheduler_is_opened_with_a_factory_of_either_kind() -> None:
    def changes_factory(account_id: str) -> Any:
        return no_changes

    def page_factory(account_id: str) -> Any:
        return no_pages

    def page_factory_with_suffix(account_id: str, suffix: str) -> Any:
        return no_pages

    plain = ResourceState(
        inc={each: ResourceState.Incremental(cursor=CUTOFF) for each in ACCOUNTS},
        backfill={each: ResourceState.Backfill(next_page=None, cutoff=CUTOFF) for each in ACCOUNTS},
    )
    composite = _create_prices_initial_state(ACCOUNTS)
    async with running_capture() as capture:
        open_binding_with_priority_queue(
            binding(),
            0,
            plain,
            capture.task,
            ACCOUNTS,
            fetch_changes_factory=changes_factory,
            fetch_page_factory=page_factory,
        )
        open_binding_with_priority_queue(
            binding(),
            1,
            composite,
            capture.task,
            ACCOUNTS,
            fetch_changes_factory=changes_factory,
            fetch_page_factory=page_factory_with_suffix,
            backfill_subtask_suffixes=PRICES_BACKFILL_SUFFIXES,
        )
        await capture.until(lambda output: len(output.checkpoints) == 6)
        capture.stopping.event.set()
    assert plain.backfill == dict.fromkeys(ACCOUNTS)
    assert composite.backfill == {
        f"{each}{half}": None for each in ACCOUNTS for half in ("_active", "_inactive")
    }


# Prices


def test_the_initial_state_of_one_account_is_keyed_by_suffix() -> None:
    assert PRICES_BACKFILL_SUFFIXES == ["_active", "_inactive"]
    state = _create_prices_initial_state("acct_1")
    assert isinstance(state.inc, ResourceState.Incremental)
    cutoff = state.inc.cursor
    assert isinstance(cutoff, datetime)
    assert abs((datetime.now(tz=UTC) - cutoff).total_seconds()) < 10
    assert state.backfill == {
        suffix: ResourceState.Backfill(next_page=None, cutoff=cutoff) for suffix in PRICES_BACKFILL_SUFFIXES
    }


def test_the_initial_state_of_connected_accounts_has_composite_keys() -> None:
    state = _create_prices_initial_state(ACCOUNTS)
    assert isinstance(state.inc, dict)
    assert set(state.inc) == set(ACCOUNTS)
    assert state.inc["acct_1"] is not None
    cutoff = state.inc["acct_1"].cursor
    unfinished = ResourceState.Backfill(next_page=None, cutoff=cutoff)
    assert state.backfill == {
        f"{each}{half}": unfinished for each in ACCOUNTS for half in ("_active", "_inactive")
    }


async def test_a_new_account_is_given_both_backfills_and_known_ones_go_on() -> None:
    cutoff = "2026-05-01T00:00:00Z"
    before = {
        "inc": {"acct_1": {"cursor": "2026-05-20T00:00:00Z"}},
        "backfill": {"acct_1_inactive": {"cutoff": cutoff, "next_page": "price_7"}},
    }
    state = ResourceState.model_validate(before)
    initial = _create_prices_initial_state(ACCOUNTS)
    async with running_capture() as capture:
        await _reconcile_prices_state(ACCOUNTS, binding(), state, initial, capture.task)
        await _reconcile_prices_state(ACCOUNTS, binding(), state, initial, capture.task)
    new = dump(initial)
    expected = {
        "inc": {**before["inc"], "acct_2": new["inc"]["acct_2"]},
        "backfill": before["backfill"]
        | {key: new["backfill"][key] for key in ("acct_2_active", "acct_2_inactive")},
    }
    assert len(capture.output.checkpoints) == 1, "the second time there is nothing to do"
    assert dump(state) == expected
    assert merged(before, capture.output.checkpoints) == expected


@pytest.fixture
async def http(server: StripeServer) -> Any:
    async with StripeSession(server.world.key, base=server.url, settings=UNLIMITED) as session:
        yield session


async def read(pages: Any) -> list[Any]:
    return [each async for each in pages]


async def test_prices_are_fetched_half_by_half_and_page_by_page(
    world: World, server: StripeServer, http: StripeSession
) -> None:
    account = world.connect()["id"]
    for number in range(130):
        world.create("price", account, active=number < 120, created=NOW - 1_000 + number, event=False)
    own = world.create("price", created=NOW - 1_000, event=False)["id"]

    def fetch(connected_account_id: str, active: bool) -> Any:
        return functools.partial(
            fetch_backfill_prices, Prices, START, PLATFORM, connected_account_id, active, http
        )

    *first, cursor = await read(fetch(account, True)(LOG, None, CUTOFF))
    rest = await read(fetch(account, True)(LOG, cursor, CUTOFF))
    archived = await read(fetch(account, False)(LOG, None, CUTOFF))
    assert isinstance(cursor, str)
    assert (len(first), len(rest), len(archived)) == (100, 20, 10)
    assert {each["active"] for each in first + rest} == {True}
    assert {each["active"] for each in archived} == {False}
    assert {each["account_id"] for each in first + rest + archived} == {account}
    assert [each["id"] for each in await read(fetch(PLATFORM, True)(LOG, None, CUTOFF))] == [own]
    assert {each.query["active"] for each in server.journal.visits("/v1/prices")} == {"true", "false"}


async def test_changes_of_prices_are_fetched_whatever_half_they_are_in(
    world: World, http: StripeSession
) -> None:
    account = world.connect()["id"]
    created = [world.create("price", account, active=active)["id"] for active in (True, False)]
    world.clock.advance(120)
    await http.get(LOG, "/v1/account")
    await http.refresh_clock(LOG)
    fetch_changes = functools.partial(fetch_incremental, Prices, PLATFORM, account, http)
    *documents, cursor = await read(fetch_changes(LOG, CUTOFF))
    assert {each["id"] for each in documents} == set(created)
    assert isinstance(cursor, datetime)
    assert cursor > CUTOFF


@pytest.mark.parametrize("connected", [False, True])
async def test_the_resource_of_prices_captures_both_halves_of_every_account(
    world: World, http: StripeSession, connected: bool
) -> None:
    others = [world.connect()["id"] for _ in range(2)] if connected else []
    ids = [PLATFORM, *others]
    expected = {
        world.create("price", each, active=active, created=NOW - 1_000, event=False)["id"]
        for each in ids
        for active in (True, False)
    }
    await http.get(LOG, "/v1/account")
    await http.refresh_clock(LOG)
    resource = prices_object(http, START, PLATFORM, others, ids)
    assert isinstance(resource, Resource)
    assert (resource.name, resource.key, resource.model) == ("Prices", ["/id"], Prices)
    state = resource.initial_state.model_copy(deep=True)
    assert isinstance(state.backfill, dict)
    assert set(state.backfill) == (
        {f"{each}{half}" for each in ids for half in PRICES_BACKFILL_SUFFIXES}
        if connected
        else set(PRICES_BACKFILL_SUFFIXES)
    )
    state.last_initialized = CUTOFF
    async with running_capture() as capture:
        opened = resource.open(binding(), 0, state, capture.task, [])
        assert inspect.isawaitable(opened)
        await opened
        await capture.until(lambda output: len(output.documents) == len(expected))
        capture.stopping.event.set()
    assert {document["id"] for _, document in capture.output.documents} == expected


async def test_the_summary_of_prices_tells_which_accounts_are_paused(
    world: World, server: StripeServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "flow")
    barred = world.connect()["id"]
    server.faults.set(Fault("/v1/prices", account=barred, status=403, message="Barred"))
    soon = timedelta(milliseconds=50)
    quick = replace(UNLIMITED, first_summary=soon, summary_interval=soon)
    async with (
        StripeSession(world.key, base=server.url, settings=quick) as http,
        running_capture() as capture,
    ):
        resource = prices_object(http, START, PLATFORM, [barred], [PLATFORM, barred])
        state = resource.initial_state.model_copy(deep=True)
        opened = resource.open(binding(), 0, state, capture.task, [])
        assert inspect.isawaitable(opened)
        await opened
        told: list[str] = []
        async with asyncio.timeout(10):
            while not told:
                await asyncio.sleep(0.01)
                told = [each.message for each in caplog.records if "paused after" in each.message]
        capture.stopping.event.set()
    assert told[0].endswith("; 1 account is paused after failures: 1 for Things")


async def test_all_resources_has_prices(world: World, http: StripeSession) -> None:
    config = EndpointConfig.model_validate(
        {
            "credentials": {"access_token": world.key},
            "start_date": "2020-01-01T00:00:00Z",
            "capture_connected_accounts": True,
        }
    )
    account = world.connect()["id"]
    (prices,) = [each for each in await all_resources(LOG, http, config) if each.name == "Prices"]
    assert isinstance(prices.initial_state.inc, dict)
    assert set(prices.initial_state.inc) == {PLATFORM, account}
    assert issubclass(Prices, BaseDocument)
