"""State from any shape into the one wanted, with nothing lost. Patches are applied as Flow does, by another
implementation of RFC 7396 than ours."""

import copy
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import json_merge_patch
import pytest
from estuary_cdk.capture.common import ResourceState
from hypothesis import given
from hypothesis import strategies as st

from source_stripe_native.errors import ConnectorError
from source_stripe_native.state.parts import apply, merge_diff
from source_stripe_native.state.shapes import (
    EPOCH,
    FROM_START,
    ConnectorState,
    accounts_after,
    in_time,
    initial_state,
    known_before,
    previous_state,
    readable_part,
    reconcile,
    slice_start,
    slice_suffix,
    with_cursors,
)

Json = dict[str, Any]
Ids = str | list[str]

CUTOFF = "2026-05-28T20:26:40Z"
LATER = "2026-05-28T20:31:07Z"
MICROS = "2026-05-28T20:26:40.123456Z"
NOW = "2026-06-01T00:00:00Z"
PRICES = ["_active", "_inactive"]
SLICED = [FROM_START]
SLICE = "_from_2024-05-01T00:00:00Z"
A, B, C = "acct_1A", "acct_1AB", "acct_1C"
"""The first is how the second begins."""


def parsed(state: Json) -> ResourceState:
    return ResourceState.model_validate(state)


def dumped(state: ResourceState) -> Json:
    """As Flow keeps it: without nulls, in which a patch deletes."""
    whole = state.model_dump(mode="json", exclude_defaults=True, exclude_none=True)
    kept: Json = json_merge_patch.merge({}, whole)
    return kept


def reconciled(state: Json, ids: Ids, suffixes: list[str]) -> Json:
    """`state` as Flow has it once the patch is in the checkpoint. In the process it must be the same, and
    nothing must be left to reconcile."""
    now, in_memory = datetime.fromisoformat(NOW), parsed(state)
    patch = reconcile(in_memory, now, ids, suffixes)
    merged: Json = json_merge_patch.merge(copy.deepcopy(dumped(parsed(state))), patch)
    apply(in_memory, patch)
    assert dumped(in_memory) == merged
    assert dumped(parsed(merged)) == merged
    assert reconcile(parsed(merged), now, ids, suffixes) == {}
    return merged


def inc(cursor: str = CUTOFF) -> Json:
    return {"cursor": cursor}


def half(page: str | None = None, cutoff: str = CUTOFF) -> Json:
    return {"cutoff": cutoff} | ({"next_page": page} if page else {})


FRESH = half(cutoff=NOW)


@pytest.mark.parametrize(
    ("ids", "suffixes", "shape"),
    [
        (A, [""], {"inc": inc(), "backfill": half()}),
        (A, PRICES, {"inc": inc(), "backfill": {"_active": half(), "_inactive": half()}}),
        ([A], [""], {"inc": {A: inc()}, "backfill": {A: half()}}),
        (
            [A, C],
            PRICES,
            {
                "inc": {A: inc(), C: inc()},
                "backfill": {f"{each}{suffix}": half() for each in (A, C) for suffix in PRICES},
            },
        ),
    ],
)
def test_initial_state_has_the_shape_of_config_and_stream(ids: Ids, suffixes: list[str], shape: Json) -> None:
    assert dumped(initial_state(ids, suffixes, datetime.fromisoformat(MICROS))) == shape
    assert reconciled(shape, ids, suffixes) == shape


def test_initial_state_begins_now_in_whole_seconds() -> None:
    before = datetime.now(tz=UTC).replace(microsecond=0)
    new = initial_state(A)
    assert isinstance(new.inc, ResourceState.Incremental)
    assert isinstance(new.inc.cursor, datetime)
    assert before <= new.inc.cursor <= datetime.now(tz=UTC)
    assert new.inc.cursor.microsecond == 0


STATES: list[tuple[str, Json, Ids, list[str], Json]] = [
    (
        "a single account's flat state, as the reference connector writes it, is left alone",
        {"inc": inc(MICROS), "backfill": half("ch_1", MICROS), "last_initialized": MICROS},
        A,
        [""],
        {"inc": inc(MICROS), "backfill": half("ch_1", MICROS), "last_initialized": MICROS},
    ),
    (
        "connected accounts' state, as the reference connector writes it, is left alone",
        {"inc": {A: inc(MICROS), B: inc()}, "backfill": {f"{A}_active": half("price_1", MICROS)}},
        [A, B],
        PRICES,
        {"inc": {A: inc(MICROS), B: inc()}, "backfill": {f"{A}_active": half("price_1", MICROS)}},
    ),
    (
        "a flat state becomes the platform's once there are connected accounts",
        {"inc": inc(LATER), "backfill": half("ch_1")},
        [A, C],
        [""],
        {"inc": {A: inc(LATER), C: inc(NOW)}, "backfill": {A: half("ch_1"), C: FRESH}},
    ),
    (
        "so do a single account's unfinished variants",
        {"inc": inc(LATER), "backfill": {"_inactive": half("price_1")}},
        [A, C],
        PRICES,
        {
            "inc": {A: inc(LATER), C: inc(NOW)},
            "backfill": {f"{A}_inactive": half("price_1"), f"{C}_active": FRESH, f"{C}_inactive": FRESH},
        },
    ),
    (
        "the platform's part becomes flat again once connected accounts are not captured",
        {"inc": {A: inc(LATER), C: inc()}, "backfill": {A: half("ch_1"), C: half("ch_2")}},
        A,
        [""],
        {"inc": inc(LATER), "backfill": half("ch_1")},
    ),
    (
        "so do its unfinished variants",
        {"inc": {A: inc(LATER), C: inc()}, "backfill": {f"{A}_active": half("p"), f"{C}_active": half()}},
        A,
        PRICES,
        {"inc": inc(LATER), "backfill": {"_active": half("p")}},
    ),
    (
        "a platform that the state does not know begins anew",
        {"inc": {C: inc()}, "backfill": {C: half()}},
        A,
        [""],
        {"inc": inc(NOW), "backfill": FRESH},
    ),
    (
        "a new account is backfilled, one that is gone is dropped, the others go on",
        {"inc": {A: inc(LATER), B: inc()}, "backfill": {f"{A}_active": half("p"), f"{B}_active": half()}},
        [A, C],
        PRICES,
        {
            "inc": {A: inc(LATER), C: inc(NOW)},
            "backfill": {f"{A}_active": half("p"), f"{C}_active": FRESH, f"{C}_inactive": FRESH},
        },
    ),
    (
        "an account whose id is how another begins is told from it",
        {"inc": {B: inc(LATER)}, "backfill": {f"{B}_active": half("p")}},
        [A, B],
        PRICES,
        {
            "inc": {A: inc(NOW), B: inc(LATER)},
            "backfill": {f"{A}_active": FRESH, f"{A}_inactive": FRESH, f"{B}_active": half("p")},
        },
    ),
    (
        "an account without a cursor follows changes from where its earliest backfill began",
        {"inc": {}, "backfill": {f"{A}_active": half("p", LATER), f"{A}_inactive": half("q")}},
        [A],
        PRICES,
        {"inc": {A: inc()}, "backfill": {f"{A}_active": half("p", LATER), f"{A}_inactive": half("q")}},
    ),
    (
        "so does a single account",
        {"backfill": half("ch_1")},
        A,
        [""],
        {"inc": inc(), "backfill": half("ch_1")},
    ),
    (
        "variants that a stream newly has start with what the one before had not finished",
        {"inc": inc(LATER), "backfill": half("price_1")},
        A,
        PRICES,
        {"inc": inc(LATER), "backfill": {"_active": half(), "_inactive": half()}},
    ),
    (
        "a variant that a stream no longer has is not lost with what it had not finished",
        {"inc": {A: inc(LATER)}, "backfill": {f"{A}_active": half("p", LATER), f"{A}_old": half("q")}},
        [A],
        PRICES,
        {"inc": {A: inc(LATER)}, "backfill": {f"{A}_active": half(), f"{A}_inactive": half()}},
    ),
    (
        "slices go on as they are",
        {"inc": inc(LATER), "backfill": {SLICE: half("ch_2"), "_from_start": half("ch_1")}},
        A,
        SLICED,
        {"inc": inc(LATER), "backfill": {SLICE: half("ch_2"), "_from_start": half("ch_1")}},
    ),
    (
        "and a backfill that is already running is not divided",
        {"inc": inc(MICROS), "backfill": half("ch_1", MICROS)},
        A,
        SLICED,
        {"inc": inc(MICROS), "backfill": half("ch_1", MICROS)},
    ),
    (
        "a slice whose range cannot be read is not lost with what it had not finished",
        {"inc": inc(LATER), "backfill": {"_from_2024": half("ch_2"), "_from_start": half("ch_1")}},
        A,
        SLICED,
        {"inc": inc(LATER), "backfill": {"_from_start": half()}},
    ),
    (
        "slices of a stream that is not divided any more start again as a whole",
        {"inc": inc(LATER), "backfill": {SLICE: half("ch_2")}},
        A,
        [""],
        {"inc": inc(LATER), "backfill": half()},
    ),
    (
        "variants that were all finished stay so",
        {"inc": inc(LATER)},
        A,
        PRICES,
        {"inc": inc(LATER)},
    ),
    (
        "nothing at all begins anew",
        {},
        [A],
        PRICES,
        {"inc": {A: inc(NOW)}, "backfill": {f"{A}_active": FRESH, f"{A}_inactive": FRESH}},
    ),
    (
        "deleted entries are as if there were none",
        {"inc": {A: inc(LATER), C: None}, "backfill": {A: None, C: None}},
        [A, C],
        [""],
        {"inc": {A: inc(LATER), C: inc(NOW)}, "backfill": {C: FRESH}},
    ),
    (
        "what is neither cursor nor backfill is left alone",
        {"inc": inc(), "backfill": half(), "last_initialized": LATER, "is_connector_initiated": True},
        [A],
        [""],
        {
            "inc": {A: inc()},
            "backfill": {A: half()},
            "last_initialized": LATER,
            "is_connector_initiated": True,
        },
    ),
]


@pytest.mark.parametrize(
    ("state", "ids", "suffixes", "wanted"), [pytest.param(*row, id=name) for name, *row in STATES]
)
def test_state_is_reconciled(state: Json, ids: Ids, suffixes: list[str], wanted: Json) -> None:
    assert reconciled(state, ids, suffixes) == wanted


def test_cutoff_that_is_not_a_time_is_one_error_that_says_what_to_do() -> None:
    state = parsed({"backfill": {"cutoff": 7}})
    with pytest.raises(ConnectorError, match=r"cutoff that is not a time: 7\. Backfill the binding"):
        reconcile(state, datetime.fromisoformat(NOW), A)


# Whatever was there, whatever is wanted

cursors = st.sampled_from([CUTOFF, MICROS, LATER])
incs = st.builds(inc, cursors)
halves = st.builds(half, st.sampled_from([None, "price_1", "{odd"]), cursors)
account_ids = st.sampled_from([A, B, C, "acct_1D"])
suffix_sets = st.sampled_from([[""], PRICES, ["_active", "_inactive", "_new"]])
known_suffixes = st.sampled_from(["", "_active", "_inactive", "_old"])
states = st.fixed_dictionaries(
    {},
    optional={
        "inc": incs | st.dictionaries(account_ids, st.none() | incs),
        "backfill": halves
        | st.dictionaries(known_suffixes.filter(bool), st.none() | halves)
        | st.dictionaries(st.tuples(account_ids, known_suffixes).map("".join), st.none() | halves),
    },
)
targets = account_ids | st.lists(account_ids, min_size=1, unique=True)


def by_account(state: Json, owner: str) -> dict[str, tuple[str | None, Json]]:
    """What a state says of each account: its cursor, and what of its backfill is unfinished by suffix."""
    incs, halves = state.get("inc") or {}, state.get("backfill") or {}
    incs = {owner: incs} if "cursor" in incs else incs
    halves = {"": halves} if "cutoff" in halves else halves
    found: dict[str, tuple[str | None, Json]] = {}
    for account in [owner, A, B, C, "acct_1D"]:
        keys = {f"{account}{suffix}": suffix for suffix in ("", *PRICES, "_old", "_new")}
        if account == owner:
            keys |= {suffix: suffix for suffix in ("", *PRICES, "_old", "_new")}
        unfinished = {keys[key]: each for key, each in halves.items() if key in keys and each}
        cursor = (incs.get(account) or {}).get("cursor")
        if cursor or unfinished:
            found[account] = (cursor, unfinished)
    return found


@given(state=states, ids=targets, suffixes=suffix_sets)
def test_reconciling_any_state_keeps_cursors_and_unfinished_backfills_of_the_accounts_kept(
    state: Json, ids: Ids, suffixes: list[str]
) -> None:
    result = reconciled(state, ids, suffixes)
    wanted = [ids] if isinstance(ids, str) else ids
    before, after = by_account(state, wanted[0]), by_account(result, wanted[0])
    assert set(after) == set(wanted)
    assert ("cursor" in result["inc"]) == isinstance(ids, str)
    for account in wanted:
        cursor, unfinished = after[account]
        if account not in before:
            assert cursor == NOW
            assert unfinished == dict.fromkeys(suffixes, FRESH)
            continue
        old_cursor, old = before[account]
        cutoffs = [each["cutoff"] for each in old.values()]
        assert cursor == (old_cursor or min(cutoffs, key=datetime.fromisoformat))
        if set(old) <= set(suffixes):
            assert unfinished == old
        else:
            cutoff = min(cutoffs, key=datetime.fromisoformat)
            assert unfinished == dict.fromkeys(suffixes, half(cutoff=cutoff))


leaves = st.text(max_size=3) | st.integers()
documents = st.recursive(
    st.dictionaries(st.text(max_size=2), leaves, max_size=4),
    lambda inner: st.dictionaries(st.text(max_size=2), leaves | inner, max_size=4),
    max_leaves=12,
)


@given(old=documents, new=documents)
def test_merge_diff_is_the_patch_from_any_document_to_any_other(old: Json, new: Json) -> None:
    patch = merge_diff(old, new)
    assert json_merge_patch.merge(copy.deepcopy(old), patch) == new
    assert merge_diff(new, new) == {}


@given(st.integers(0, 2**32))
def test_a_slice_is_named_after_its_oldest_second(since: int) -> None:
    assert slice_start(slice_suffix(since)) == since


def test_what_happened_before_the_cutoff_is_known_while_any_slice_is_unfinished() -> None:
    state = parsed({"inc": inc(LATER), "backfill": {SLICE: half("ch_2")}})
    assert known_before(state, "", SLICED) == datetime.fromisoformat(CUTOFF).timestamp()
    assert known_before(parsed({"inc": inc(LATER), "backfill": {}}), "", SLICED) == 0


# The kind of a backfill

ONE: Json = {"inc": inc(), "backfill": half()}
MANY: Json = {"inc": {A: inc()}, "backfill": {f"{A}_active": half(), f"{A}_inactive": half("p")}}


@pytest.mark.parametrize(("state", "account_id", "suffixes"), [(ONE, "", [""]), (MANY, A, PRICES)])
def test_only_a_first_backfill_knows_what_happened_before_its_cutoff(
    state: Json, account_id: str, suffixes: list[str]
) -> None:
    """Whatever the cursor says: a repeat may go on from a cursor at its cutoff, and soon passes it."""
    cutoff = datetime.fromisoformat(CUTOFF).timestamp()
    repeat = {"is_connector_initiated": True}
    assert known_before(parsed(state), account_id, suffixes) == cutoff
    assert known_before(parsed(state | repeat), account_id, suffixes) == 0
    later = inc(LATER) if state is ONE else {A: inc(LATER)}
    assert known_before(parsed(state | {"inc": later}), account_id, suffixes) == cutoff
    assert known_before(parsed(state | {"inc": later} | repeat), account_id, suffixes) == 0
    earlier = inc("2026-05-28T20:00:00Z") if state is ONE else {A: inc("2026-05-28T20:00:00Z")}
    assert known_before(parsed(state | {"inc": earlier}), account_id, suffixes) == 0


OLDEST = "2026-05-28T00:00:00Z"
TOO_OLD = "2026-05-27T23:59:59Z"
FUTURE = "2027-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("previous", "ids", "cursors"),
    [
        pytest.param({"inc": inc()}, A, {A: CUTOFF}, id="of one account"),
        pytest.param({"inc": {A: inc(), C: inc(LATER)}}, [A, C], {A: CUTOFF, C: LATER}, id="of each account"),
        pytest.param({"inc": {A: inc()}}, [A, C], {A: CUTOFF, C: NOW}, id="of a new account"),
        pytest.param({"inc": {C: inc(), A: inc(LATER)}}, A, {A: LATER}, id="of the platform alone"),
        pytest.param({"inc": {C: inc()}}, A, {A: NOW}, id="not of another account"),
        pytest.param({"inc": inc()}, [A, C], {A: CUTOFF, C: NOW}, id="not for accounts that had none"),
        pytest.param({"inc": inc(OLDEST)}, A, {A: OLDEST}, id="as old as may be"),
        pytest.param({"inc": inc(TOO_OLD)}, A, {A: NOW}, id="too old"),
        pytest.param({"inc": inc(FUTURE)}, A, {A: NOW}, id="in the future"),
        pytest.param({"inc": {"cursor": 7}}, A, {A: NOW}, id="no time"),
        pytest.param({"inc": {A: None}}, [A], {A: NOW}, id="deleted"),
        pytest.param({}, [A], {A: NOW}, id="none"),
    ],
)
def test_a_repeat_goes_on_from_the_cursors_of_before(
    previous: Json, ids: Ids, cursors: dict[str, str]
) -> None:
    initial = initial_state(ids, PRICES, datetime.fromisoformat(NOW))
    repeat = with_cursors(initial, parsed(previous), ids, datetime.fromisoformat(OLDEST))
    expected = {each: inc(at) for each, at in cursors.items()}
    assert dumped(repeat) == {
        "inc": expected[ids] if isinstance(ids, str) else expected,
        "backfill": dumped(initial)["backfill"],
        "is_connector_initiated": True,
    }
    account_id = "" if isinstance(ids, str) else ids[0]
    assert known_before(repeat, account_id, PRICES) == 0
    assert with_cursors(initial, None, ids, datetime.fromisoformat(OLDEST)) is initial


@pytest.mark.parametrize(
    ("states", "key", "cursor"),
    [
        pytest.param({"Coupons": inc()}, "Coupons", CUTOFF, id="its own"),
        pytest.param({"Coupons": inc()}, "Coupons.v1", CUTOFF, id="of before the first request"),
        pytest.param({"Coupons": inc(), "Coupons.v2": inc(LATER)}, "Coupons.v3", LATER, id="the newest"),
        pytest.param({"Coupons.v9": inc(), "Coupons.v10": inc(LATER)}, "Coupons.v11", LATER, id="by number"),
        pytest.param({"Coupons.v1": None, "Coupons": inc()}, "Coupons.v2", CUTOFF, id="not a deleted one"),
        pytest.param(
            {"Coupons.v1": {}, "Coupons": inc()}, "Coupons.v2", CUTOFF, id="not one without a cursor"
        ),
        pytest.param({"Coupons.v1": {}}, "Coupons.v2", None, id="unless there is no other"),
        pytest.param(
            {"Coupons.v1": inc(), "Coupons.v2": inc(LATER)}, "Coupons.v1", CUTOFF, id="its own first"
        ),
        pytest.param({"Coupons.v2": inc()}, "Coupons", CUTOFF, id="of a higher count"),
    ],
)
def test_the_previous_state_is(states: Json, key: str, cursor: str | None) -> None:
    bindings = {each: {"inc": at} if at else at for each, at in states.items()}
    found = previous_state(ConnectorState.model_validate({"bindingStateV1": bindings}), key)
    assert found is not None
    assert dumped(found) == ({"inc": inc(cursor)} if cursor else {})


def test_a_new_binding_has_no_previous_state() -> None:
    bindings = {
        each: {"inc": inc()} for each in ("Coupons.v", "Couponsx", "Coupon", "Coupons.v1.v1", "x/Coupons")
    }
    assert previous_state(ConnectorState.model_validate({"bindingStateV1": bindings}), "Coupons") is None


def test_a_backfill_that_the_connector_requests_is_a_repeat_without_cursors() -> None:
    state = {"bindingStateV1": {"Coupons": {"inc": inc()}}, "backfillRequests": {"Coupons": True}}
    assert previous_state(ConnectorState.model_validate(state), "Coupons") == ResourceState()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | cursors,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["inc", "cursor", "backfill", "cutoff", A, "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(anything)
def test_whatever_a_former_state_is_its_readable_part_is_a_state(former: Any) -> None:
    part = readable_part(former)
    state = parsed(part)
    assert state.backfill is None
    found = [state.inc] if isinstance(state.inc, ResourceState.Incremental) else (state.inc or {}).values()
    assert all(each is not None and isinstance(each.cursor, datetime) for each in found)


@given(state=states)
def test_the_readable_part_of_a_state_of_today_is_its_cursors(state: Json) -> None:
    kept = state.get("inc") or {}
    kept = kept if "cursor" in kept else {key: each for key, each in kept.items() if each}
    assert readable_part(state) == ({"inc": kept} if kept else {})


# Times that cannot be

odd_zones = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda each: timezone(timedelta(minutes=each)))
odd_times = st.datetimes(timezones=odd_zones).map(datetime.isoformat)


def odd(values: Any) -> Any:
    """Parts of a state, with times of any year and zone."""
    return values | st.dictionaries(account_ids, st.none() | values)


odd_states = st.fixed_dictionaries(
    {},
    optional={"inc": odd(st.builds(inc, odd_times)), "backfill": odd(st.builds(half, st.none(), odd_times))},
)


def times_of(state: ResourceState) -> list[datetime]:
    inc = state.inc.values() if isinstance(state.inc, dict) else [state.inc]
    backfill = state.backfill.values() if isinstance(state.backfill, dict) else [state.backfill]
    found = [each.cursor for each in inc if each] + [each.cutoff for each in backfill if each]
    return [each for each in found if isinstance(each, datetime)]


@given(state=odd_states, ids=targets)
def test_every_time_of_a_state_lies_between_the_epoch_and_now(state: Json, ids: Ids) -> None:
    now = datetime.fromisoformat(NOW)
    reconciling = parsed(state)
    apply(reconciling, reconcile(reconciling, now, ids, PRICES))
    before = copy.deepcopy(reconciling)
    patch = in_time(reconciling, now)
    apply(reconciling, patch)
    assert dumped(reconciling) == json_merge_patch.merge(dumped(before), copy.deepcopy(patch))
    assert times_of(reconciling) == [max(EPOCH, min(each, now)) for each in times_of(before)]
    assert in_time(reconciling, now) == {}
    owner = ids if isinstance(ids, str) else ids[0]
    assert accounts_after(reconciling, owner, now) == []
    assert bool(accounts_after(before, owner, now)) == any(each > now for each in times_of(before))
    for each in ids if isinstance(ids, list) else [""]:
        assert 0 <= known_before(reconciling, each, PRICES) <= now.timestamp()
    repeat = with_cursors(initial_state(ids, PRICES, now), before, ids, EPOCH)
    assert all(EPOCH <= each <= now for each in times_of(repeat))


def test_accounts_ahead_are_those_with_a_cursor_or_a_cutoff_in_the_future() -> None:
    now = datetime.fromisoformat(NOW)
    state = {"inc": {A: inc(FUTURE), B: inc(), C: inc()}, "backfill": {f"{B}_active": half(cutoff=FUTURE)}}
    assert accounts_after(parsed(state), A, now) == [A, B]
    flat = {"inc": inc(), "backfill": {"_active": half(cutoff=FUTURE)}}
    assert accounts_after(parsed(flat), A, now) == [A]


@given(
    state=st.fixed_dictionaries(
        {
            "inc": st.dictionaries(st.sampled_from([A, B, C]), st.just(inc()), min_size=1),
            "backfill": st.dictionaries(
                st.sampled_from([f"{each}{half}" for each in (A, B, C) for half in PRICES]),
                st.sampled_from([half(), half("after")]),
            ),
        }
    )
    | st.just({"inc": inc(), "backfill": {"_active": half("after")}}),
    own=st.sets(st.sampled_from([A, B, C])),
)
def test_shards_divide_a_state_by_account_and_change_nothing_of_it(state: Json, own: set[str]) -> None:
    def part(ids: list[str]) -> Json:
        return merged_with(state, reconcile(parsed(state), datetime.fromisoformat(NOW), ids, PRICES, A))

    whole = part([A, B, C])
    parts = [part([each for each in (A, B, C) if (each in own) is side]) for side in (True, False)]
    for name in ("inc", "backfill"):
        assert {**parts[0][name], **parts[1][name]} == whole[name]
        assert not parts[0][name].keys() & parts[1][name].keys()


def merged_with(state: Json, patch: Json) -> Json:
    merged: Json = json_merge_patch.merge(copy.deepcopy(state), patch)
    return {"inc": {}, "backfill": {}} | merged


@pytest.mark.parametrize("previous", [{"inc": inc(LATER)}, {"inc": {A: inc(LATER)}}])
def test_a_repeat_of_a_shard_takes_no_cursor_of_another_account(previous: Json) -> None:
    initial = initial_state([B], PRICES, datetime.fromisoformat(NOW))
    repeat = with_cursors(initial, parsed(previous), [B], EPOCH, A)
    assert repeat.inc == initial.inc
