"""The state of very many accounts in memory: it says what the plain one says, and takes little more than its
keys."""

import json
import logging
import tracemalloc
from collections.abc import Callable
from copy import deepcopy
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import orjson
import pydantic
import pytest
from estuary_cdk.capture.common import ResourceState
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.stripe import PLATFORM, StripeServer, World
from source_stripe_native.errors import ConnectorError
from source_stripe_native.flow import requests
from source_stripe_native.flow.log_lines import PassingLogger
from source_stripe_native.flow.requests import ExaminedRequest, parse_request
from source_stripe_native.scheduling.work_items import WorkItemManager
from source_stripe_native.state.cursors import END, AccountNumbers, Cursors
from source_stripe_native.state.parts import (
    Incremental,
    apply,
    cursor_at,
    cursor_time,
    difference,
    merge_diff,
)
from source_stripe_native.state.shapes import in_time, initial_state, reconcile, with_cursors
from source_stripe_native.state.text import RequestText
from source_stripe_native.state.windows import floor
from tests.capture import Capture, Json
from tests.conftest import NOW as NOW_SECONDS
from tests.test_contract import no_changes, no_pages
from tests.test_state import (
    CUTOFF,
    LATER,
    MICROS,
    NOW,
    PRICES,
    A,
    B,
    C,
    Ids,
    account_ids,
    dumped,
    half,
    inc,
    odd_states,
    parsed,
    states,
    suffix_sets,
    targets,
)


def opening(state: object, *bindings: str) -> bytes:
    return orjson.dumps(
        {
            "open": {
                "capture": {
                    "name": "acmeCo/x",
                    "connectorType": "LOCAL",
                    "config": {"credentials": {"access_token": "sk_test_1"}, "start_date": CUTOFF},
                    "intervalSeconds": 300,
                    "bindings": [
                        {
                            "resourceConfig": {"name": each, "interval": "PT5M"},
                            "resourcePath": [each],
                            "stateKey": each,
                            "collection": {"name": each, "key": ["/id"], "writeSchema": {}},
                        }
                        for each in bindings
                    ],
                },
                "version": "1",
                "range": {},
                "state": state,
            }
        }
    )


def read_by(read: Callable[[str], Any], line: bytes) -> tuple[Any, Any]:
    """The state that is read, and as it is dumped; or the line that refuses it."""
    try:
        request = read(line.decode())
    except pydantic.ValidationError as error:
        return None, requests.explain(error)
    assert request.open is not None
    state = request.open.state
    written = state.model_copy(deep=True)
    for of in written.bindingStateV1.values():
        if of is not None and isinstance(of.inc, Cursors):
            of.inc = dict(of.inc)
    return state, json.loads(written.model_dump_json(exclude_unset=True))


def compact(text: str, *cuts: int) -> Any:
    """As it is read in pieces, cut at these bytes."""
    line = text.encode("utf-8", "surrogatepass")
    ends = [0, *sorted(cut % len(line) for cut in cuts), len(line)]
    return parse_request(ExaminedRequest, RequestText(line[a:b] for a, b in pairwise(ends)))


def plain(text: str) -> Any:
    return ExaminedRequest.model_validate_json(text)


odd_parts: st.SearchStrategy[Any] = st.sampled_from(
    [
        {"cursor": 7},
        {"cursor": "x"},
        {"cursor": "1779999999"},
        {"cursor": ["a", 1]},
        {"cursor": None},
        {"cursor": MICROS, "x": 1},
        {"cutoff": CUTOFF, "next_page": None},
        {"cutoff": CUTOFF, "next_page": 7},
        {"cutoff": CUTOFF, "next_page": {"a": {"cursor": CUTOFF}}},
        {"cutoff": "x"},
        {"next_page": "p"},
        {},
        [],
        None,
    ]
)
odd_bindings = st.fixed_dictionaries(
    {},
    optional={
        name: odd_parts | st.dictionaries(st.sampled_from([A, f"{B}_active", ""]), odd_parts, max_size=2)
        for name in ("inc", "backfill", "snapshot", "x")
    },
)


names = st.sampled_from(["Prices", "Prices.v1", "Other"])
cuts = st.lists(st.integers(0, 10_000), max_size=5)


@settings(max_examples=60)
@given(st.dictionaries(names, states | odd_states | odd_bindings), cuts)
def test_a_state_is_read_as_the_protocols_own_types_read_it(bindings: Json, cuts: list[int]) -> None:
    """However it is cut into pieces."""
    line = opening({"bindingStateV1": bindings}, "Prices", "Other")
    assert read_by(lambda text: compact(text, *cuts), line)[1] == read_by(plain, line)[1]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"bindingStateV1": {"Prices": {"inc": {"cursor": "\\ud800"}}}}', id="half a character"),
        pytest.param('{"bindingStateV1": {"Pri\\ud83d\\ude00ces": {"inc": {}}}}', id="a character in halves"),
        pytest.param('{"bindingStateV1": ' + "[" * 100_000, id="too deep"),
        pytest.param('{"bindingStateV1": {"Prices": {"inc": {"cursor": "a\nb"}}}}', id="a control character"),
        pytest.param('{"bindingStateV1": {"Prices": {"inc": {"cursor": 1e999}}}}', id="too large a number"),
        pytest.param('{"bindingStateV1": {"Prices": ', id="cut"),
        pytest.param(
            '{"bindingStateV1": {"Prices": {"inc": {"x\\"acct_1":{"cursor":"2026-05-28T20:26:40Z"}}}}}',
            id="an account inside a key",
        ),
    ],
)
def test_what_is_odd_about_the_text_is_taken_as_the_protocols_own_types_take_it(text: str) -> None:
    before, after = opening("STATE", "Prices").split(b'"STATE"')
    line = before + text.encode() + after
    for cut in range(len(before), len(before) + min(len(text), 100)):
        assert read_by(lambda text, at=cut: compact(text, at), line)[1] == read_by(plain, line)[1]  # type: ignore[misc]  # mypy infers no lambda with a default


@pytest.mark.parametrize("key", ["acct_1", 'a"acct_1', '\\\\"acct_1', "row 0"])
def test_a_text_in_two_pieces_is_what_it_is_whole(key: str) -> None:
    """Also where no part of a state ends in the first one, and where a key is like what stands for parts."""
    ends = {"cursor": "2026-05-28T20:26:40Z"}
    whole: Json = {"x": {key: ends}, "y": {"acct_2": ends, "acct_3": {}}, "z": {"row 0": {}}}
    line = orjson.dumps(whole)
    for cut in range(len(line)):
        read = RequestText([line[:cut], line[cut:]]).read()
        assert {name: [*parts] for name, parts in read.items()} == {name: [*whole[name]] for name in whole}
        assert read["z"] == whole["z"]


def test_equal_parts_of_a_state_are_one_object() -> None:
    of = {"inc": {A: inc(), B: inc(LATER), C: inc()}, "backfill": {A: half(), f"{B}_x": half(), C: half("p")}}
    state, _ = read_by(compact, opening({"bindingStateV1": {"Prices": of, "Other": of}}, "Prices", "Other"))
    one, other = state.bindingStateV1["Prices"], state.bindingStateV1["Other"]
    assert one.inc[A] is one.inc[C] is other.inc[A]
    assert one.inc[B] is other.inc[B] is not one.inc[A]
    assert one.backfill[A] is other.backfill[f"{B}_x"]
    assert all(key is twin for key, twin in zip(one.inc, other.inc, strict=True))


# Changes


@given(state=states | odd_states, ids=targets, suffixes=suffix_sets)
def test_no_step_of_the_opening_changes_a_part_that_others_share(
    state: Json, ids: Ids, suffixes: list[str]
) -> None:
    now = datetime.fromisoformat(NOW)
    opened = parsed(state)
    parts = [each for name in ("inc", "backfill") for each in parts_of(getattr(opened, name))]
    before = deepcopy(parts)
    initial = initial_state(ids, suffixes, now)
    fresh = dumped(initial)
    with_cursors(initial, opened, ids, now - timedelta(days=30))
    apply(opened, in_time(opened, now))
    apply(opened, reconcile(opened, now, ids, suffixes))
    assert parts == before
    assert dumped(initial) == fresh


@settings(max_examples=50)
@given(state=states, account_id=account_ids, suffixes=suffix_sets)
def test_what_a_single_account_changes_in_place_is_its_own(
    state: Json, account_id: str, suffixes: list[str]
) -> None:
    """Also what was part of the state of many accounts, and what a repeat goes on from."""
    now, line = datetime.fromisoformat(NOW), opening({"bindingStateV1": {"X": state, "Y": state}}, "X", "Y")
    read, _ = read_by(compact, line)
    parts = []
    for opened in read.bindingStateV1.values():
        initial = initial_state(account_id, suffixes, now)
        repeat = with_cursors(initial, opened, account_id, now - timedelta(days=30)).model_copy(deep=True)
        apply(opened, in_time(opened, now))
        apply(opened, reconcile(opened, now, account_id, suffixes))
        for each in (opened, repeat):
            parts += [part for name in ("inc", "backfill") for part in parts_of(getattr(each, name))]
    assert len({id(part) for part in parts}) == len(parts)


def parts_of(found: Any) -> list[Any]:
    return [each for each in (found.values() if isinstance(found, dict) else [found]) if each is not None]


def without_nulls(state: Json) -> Json:
    """A state as Flow keeps it."""
    return {
        name: {key: each for key, each in part.items() if each is not None} for name, part in state.items()
    }


@settings(max_examples=50)
@given(old=states.map(without_nulls), new=states.map(without_nulls))
def test_the_difference_of_two_states_is_that_of_their_json(old: Json, new: Json) -> None:
    def plain(state: Json) -> Json:
        return parsed(state).model_dump(mode="json", include={"inc", "backfill"}, exclude_none=True)

    assert difference(parsed(old), parsed(new)) == merge_diff(plain(old), plain(new))
    assert difference(parsed(new), parsed(new)) == {}


def test_a_copy_of_an_initial_state_shares_its_parts_too() -> None:
    """As the CDK makes one, to begin with."""
    initial = initial_state([A, B], PRICES, datetime.fromisoformat(NOW))
    state = initial.model_copy(deep=True)
    assert state == initial
    assert isinstance(state.inc, dict)
    assert isinstance(initial.inc, dict)
    assert state.inc[A] is state.inc[B]
    state.inc[A] = None
    assert initial.inc[A] is not None


def test_what_is_as_it_should_be_stays_the_same_object() -> None:
    state = parsed({"inc": {A: inc(), B: inc(LATER)}, "backfill": {f"{B}_active": half("p")}})
    assert isinstance(state.inc, dict)
    kept = dict(state.inc)
    patch = reconcile(state, datetime.fromisoformat(NOW), [A, B, C], PRICES)
    assert patch["inc"] == {C: inc(NOW)}
    apply(state, patch)
    assert state.inc[A] is kept[A]
    assert state.inc[B] is kept[B]


odd_cursors = st.sampled_from(
    [inc(), inc(LATER), inc(MICROS), inc("1969-12-31T23:59:59Z"), inc("2200-01-01T00:00:00Z")]
).map(Incremental.model_validate)
steps = st.tuples(st.sampled_from(["set", "delete", "move"]), st.sampled_from("ABCD"), odd_cursors)


@given(st.dictionaries(st.sampled_from("ABC"), st.none() | odd_cursors), st.lists(steps))
def test_cursors_are_what_a_dict_of_whole_seconds_would_be(
    parts: dict[str, Incremental | None], taken: list[tuple[str, str, Incremental]]
) -> None:
    def second(part: Incremental) -> int:
        return max(1, min(floor(cursor_time(part.cursor)), END - 1))

    numbers = AccountNumbers(["B", "Z"])
    cursors = Cursors.of(ResourceState(inc=parts), numbers)
    expected = {key: second(part) for key, part in parts.items() if part is not None}
    for what, key, part in taken:
        if what == "set":
            cursors[key], expected[key] = part, second(part)
        elif what == "move":
            cursors.move(key, 1_000_000_000)
            expected[key] = 1_000_000_000
        elif what == "delete" and key in expected:
            del cursors[key], expected[key]
    assert dict(cursors) == {key: cursor_at(at) for key, at in expected.items()}
    assert len(cursors) == len(expected)
    assert {key: cursors.second(key) for key in expected} == expected
    assert cursors.second("Z") == 0
    lists = [[*expected], [*expected, "Y"], [*expected][1:], ["B", "Z"]]
    assert not any(cursors.has_just(each) for each in lists if set(each) != set(expected))
    shared = ResourceState(inc=dict.fromkeys(expected, cursor_at(1)))
    assert Cursors.of(shared, AccountNumbers()).has_just([*expected][::-1])


def test_a_cursor_that_is_no_time_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConnectorError, match=r"not a time: 7\. Backfill the binding"):
        Cursors.of(ResourceState(inc={A: Incremental(cursor=7)}), AccountNumbers())


@given(st.lists(st.sampled_from("ABCD"), max_size=3), st.lists(st.sampled_from("ABCDE"), unique=True))
def test_accounts_have_the_same_numbers_asked_for_one_by_one_or_together(
    before: list[str], asked: list[str]
) -> None:
    together, one_by_one = AccountNumbers("AB"), AccountNumbers("AB")
    for each in before:
        assert together[each] == one_by_one[each]
    assert [*together.numbers_of(asked)] == [one_by_one[each] for each in asked]
    assert together.ids == one_by_one.ids


def test_dirty_cursors_are_written_in_turn() -> None:
    numbers = AccountNumbers("ABCDE")
    cursors = Cursors.of(ResourceState(inc=dict.fromkeys("ABCDE", cursor_at(1))), numbers)
    written = []
    for _ in range(4):
        for account_id in "ABCDE":
            cursors.move(account_id, 2)
            cursors.set_dirty(account_id, is_dirty=True)
        written.append("".join(cursors.take_dirty(2, but_for={"D"})))
    assert written == ["AB", "CE", "AB", "CE"]
    cursors.set_dirty("A", is_dirty=False)
    assert "".join(cursors.take_dirty(None, but_for={"D"})) == "B"
    assert cursors.is_dirty
    assert cursors.take_dirty(None, but_for=()) == {"D": cursor_at(2)}
    assert not cursors.is_dirty


def test_the_cursor_of_a_turn_changes_that_of_no_other_account() -> None:
    shared = Incremental(cursor=datetime.fromisoformat(CUTOFF))
    state = ResourceState(inc={A: shared, B: shared}, backfill={})
    manager = WorkItemManager(state, lambda _: no_changes, lambda _: no_pages)
    mine = manager.create_work_item(A).incremental_state
    mine.cursor = datetime.fromisoformat(LATER)
    assert dumped(ResourceState(inc=dict(manager.cursors))) == {"inc": {A: inc(), B: inc()}}
    manager.cursors[A] = mine
    assert dumped(ResourceState(inc=dict(manager.cursors))) == {"inc": {A: inc(LATER), B: inc()}}


async def test_bindings_of_a_single_account_do_not_move_each_others_cursors(
    world: World, server: StripeServer
) -> None:
    """Whatever their states share when they are read: the CDK changes them in place."""
    since = "2026-05-28T19:26:40Z"
    ended = {"inc": inc(since), "last_initialized": since}
    unfinished = ended | {"backfill": {each: half(cutoff=since) for each in PRICES}}
    capture = Capture(
        server,
        ["Prices", "Products"],
        state={"bindingStateV1": {"Prices": unfinished, "Products": ended}},
    )
    prices = [
        world.create("price", active=active, created=1_700_000_000 + number, event=False)["id"]
        for active in (True, False)
        for number in range(150)
    ]
    product = world.create("product", created=NOW_SECONDS - 1_800)["id"]
    await capture.session(until=capture.caught_up)
    assert product in capture.last("Products")
    captured = [document["id"] for stream, document in capture.documents if stream == "Prices"]
    assert sorted(captured) == sorted(prices)


async def test_no_binding_reads_events_before_all_have_subscribed(world: World, server: StripeServer) -> None:
    """Else the first would read an account from its own cursor on, and the others once more on their own."""
    ids = [PLATFORM, *(world.connect()["id"] for _ in range(3))]
    earlier, since = "2026-05-28T20:05:00Z", "2026-05-28T20:15:00Z"

    def followed(at: str) -> Json:
        return {"inc": {each: inc(at) for each in ids}, "last_initialized": at}

    streams = {"Prices": since, "Products": since, "Customers": earlier}
    new = [world.create("price", each, created=NOW_SECONDS - 300)["id"] for each in ids]
    states: Json = {name: followed(at) for name, at in streams.items()}
    # So that it would follow its accounts at once, not wait to be notified.
    states["Prices"]["backfill"] = {f"{each}_active": half(cutoff=since) for each in ids}
    # One round, however long it takes.
    capture = Capture(
        server, list(streams), connected=True, interval="PT5M", state={"bindingStateV1": states}
    )
    await capture.session(until=lambda: all(map(capture.caught_up, streams)))
    assert {document["id"] for stream, document in capture.documents if stream == "Prices"} == set(new)
    assert len(server.journal.visits("/v1/events", limit="100")) == len(ids)


async def test_no_logger_is_kept_of_an_account(world: World, server: StripeServer) -> None:
    account_id = world.connect()["id"]
    world.create("price", account_id)
    kept = set(logging.Logger.manager.loggerDict)
    capture = Capture(server, connected=True)
    await capture.session(until=capture.caught_up)
    assert not [each for each in logging.Logger.manager.loggerDict.keys() - kept if "acct_" in each]


def test_a_passing_logger_logs_as_its_parent_does(caplog: pytest.LogCaptureFixture) -> None:
    log = PassingLogger(logging.getLogger("x")).getChild("acct_1").getChild("incremental")
    log.warning("it waits")
    assert [(each.name, each.message) for each in caplog.records] == [("x.acct_1.incremental", "it waits")]
    assert log.getEffectiveLevel() == logging.getLogger().getEffectiveLevel()


# What it takes


def many(accounts: int, bindings: list[str]) -> bytes:
    ids = [f"acct_1{number:016d}" for number in range(accounts)]
    of = {
        "inc": {each: inc(LATER if number % 2 else CUTOFF) for number, each in enumerate(ids)},
        "backfill": {each: half() for each in ids[::2]},
        "last_initialized": CUTOFF,
    }
    return opening({"bindingStateV1": dict.fromkeys(bindings, of)}, *bindings)


def test_reading_a_state_takes_less_than_its_text() -> None:
    names = [f"S{number}" for number in range(20)]
    line, size = many(1_000, names), 1 << 14
    tracemalloc.start()
    try:
        pieces = (line[at : at + size] for at in range(0, len(line), size))
        request = parse_request(ExaminedRequest, RequestText(pieces))
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert request.open is not None
    assert peak < 0.6 * len(line)
    # Of two parts of an account three are read: two are cursors, of four bytes.
    assert kept < 35 * 1_000 * len(names)
