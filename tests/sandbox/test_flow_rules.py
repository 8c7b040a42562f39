"""The runtime's pure rules: durations, state, keys, reductions, log lines."""

import copy
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.flow.document import KeyLocation, Strategies, key_of, reduced
from sandbox.flow.duration import parse_duration
from sandbox.flow.errors import FlowError, InvalidDocument
from sandbox.flow.logs import Log, parse_log
from sandbox.flow.state import StateUpdate, combined, state_key

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)
ID = [KeyLocation("/id")]
MERGE = [{"strategy": "merge"}]
UPDATES = st.builds(StateUpdate, OBJECTS, st.booleans() | st.just(True))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("10s", 10),
        ("1m", 60),
        ("2h", 7200),
        ("1h 30m", 5400),
        ("1d", 86400),
        ("5 minutes", 300),
    ],
)
def test_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1.5s", "10x", "PT5M", "1s,2s"])
def test_text_that_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


# The cases of RFC 7396, appendix A; the last of them has nulls for a target that is absent.
@pytest.mark.parametrize(
    ("state", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {"a": {"bb": {"ccc": None, "d": 1}}}, {"a": {"bb": {"d": 1}}}),
    ],
)
def test_state_is_patched_as_rfc_7396_says(state: Any, patch: Any, result: Any) -> None:
    assert StateUpdate(patch).apply(state) == result


def test_update_that_is_no_patch_replaces_the_state() -> None:
    assert StateUpdate({"b": None}, merge_patch=False).apply({"a": 1}) == {"b": None}


@given(UPDATES, OBJECTS, UPDATES)
def test_state_shares_nothing_with_the_updates_that_made_it(
    first: StateUpdate, state: Any, second: StateUpdate
) -> None:
    kept = copy.deepcopy(first.updated)
    second.apply(first.apply(state))
    assert first.updated == kept


@given(OBJECTS, st.lists(UPDATES, min_size=1, max_size=4))
def test_combined_update_does_what_its_parts_do(before: Any, updates: list[StateUpdate]) -> None:
    after = copy.deepcopy(before)
    for update in updates:
        after = update.apply(after)
    whole = combined(updates, after)
    assert whole is not None
    assert whole.apply(before) == after


def test_combined_update_keeps_the_deletions_of_its_parts() -> None:
    whole = combined([StateUpdate({"a": {"b": None}}), StateUpdate({"a": {"c": 1}, "d": None})], {})
    assert whole == StateUpdate({"a": {"b": None, "c": 1}, "d": None})


def test_combined_update_is_the_whole_state_where_no_patch_would_do() -> None:
    updates = [StateUpdate({"a": None}), StateUpdate({"a": {"c": 1}})]
    assert combined(updates, {"a": {"c": 1}, "x": 2}) == StateUpdate(
        {"a": {"c": 1}, "x": 2}, merge_patch=False
    )


def test_nothing_combines_to_nothing() -> None:
    assert combined([], {"a": 1}) is None


@pytest.mark.parametrize(
    ("path", "backfill", "key"),
    [
        (["Prices"], 0, "Prices"),
        (["Prices"], 2, "Prices.v2"),
        (["public", "a table"], 0, "public%2Fa%20table"),
        (["a/b", "c"], 1, "a%2Fb%2Fc.v1"),
        (["-_+.=", "~!%"], 0, "-_+.=%2F%7E%21%25"),
        (["é", "表", "४½", "€"], 0, "é%2F表%2F४½%2F%E2%82%AC"),
        (
            ["हिन्दी", "ไทย่"],
            0,
            "हिन%E0%A5%8Dदी%2Fไทย%E0%B9%88",
        ),  # vowel signs are letters, other marks are none
    ],
)
def test_state_key_names_a_resource_and_its_backfill(path: list[str], backfill: int, key: str) -> None:
    assert state_key(path, backfill) == key


@given(st.lists(st.text(), min_size=1))
def test_state_key_has_the_whole_path_and_nothing_that_a_name_in_flow_may_not_have(path: list[str]) -> None:
    key = state_key(path)
    assert unquote(key) == "/".join(path)
    assert all(each.isalnum() or each in "-_+.=%" for each in key if each.isascii())


def test_keys_sort_null_then_booleans_then_numbers_then_strings() -> None:
    values = ["b", "a", "", 2, 1.5, -1, True, False, None, "é", "z"]
    ranked = sorted(values, key=lambda value: key_of({"id": value}, ID))
    assert ranked == [None, False, True, -1, 1.5, 2, "", "a", "b", "z", "é"]


def test_true_and_one_are_different_keys_but_one_and_one_point_nought_are_not() -> None:
    one, decimal, true = (key_of({"id": value}, ID) for value in (1, 1.0, True))
    assert one == decimal
    assert one != true


def test_key_is_found_at_its_pointers() -> None:
    document = {"a/b": {"~": [10, 20]}, "c": "x"}
    key = [KeyLocation(pointer) for pointer in ("/a~1b/~0/1", "/c", "/d", "/c/d", "/a~1b/~0/9")]
    assert [value for _, value in key_of(document, key)] == [20, "x", None, None, None]


def test_key_location_that_a_document_lacks_counts_as_its_default_and_null_stays_null() -> None:
    location = KeyLocation("/a/b", "none")
    assert [location.value(each) for each in ({}, {"a": 1}, {"a": {"b": None}}, {"a": {"b": 2}})] == [
        *("none", "none", None, 2)
    ]


def test_object_is_no_key() -> None:
    with pytest.raises(InvalidDocument, match="/id must be a string"):
        key_of({"id": {}}, ID)


def test_merge_goes_only_as_deep_as_the_schema_says() -> None:
    earlier, later = {"a": {"x": 1}, "b": {"x": 1}, "c": 1}, {"a": {"y": 2}, "b": {"y": 2}}
    assert reduced(earlier, later, {"": MERGE, "/a": MERGE}) == {
        "a": {"x": 1, "y": 2},
        "b": {"y": 2},
        "c": 1,
    }
    assert reduced(earlier, later, {"": [{"strategy": "firstWriteWins"}]}) == earlier
    assert reduced(earlier, later, {}) == later


@pytest.mark.parametrize(
    ("earlier", "later", "strategies"),
    [({}, {}, {"": [{"strategy": "sum"}]}), ({"a": [1]}, {"a": [2]}, {"": MERGE, "/a": MERGE})],
)
def test_reduction_that_is_not_known_is_refused(earlier: Any, later: Any, strategies: Strategies) -> None:
    with pytest.raises(FlowError, match="the local runtime"):
        reduced(earlier, later, strategies)


@pytest.mark.parametrize(
    ("line", "log"),
    [
        (b'{"level":"WARNING","msg":"slow\\n","fields":{"a":1}}\n', Log("warn", "slow", {"a": 1})),
        (b'{"level":"CRITICAL","msg":"x"}', Log("error", "x")),
        (b'{"level":"notice","msg":"x"}', Log("info", "x")),
        (b"Killed\n", Log("warn", "Killed")),
        (b'{"level":"info"}\n', Log("warn", '{"level":"info"}')),
        (b"\xff", Log("warn", "\N{REPLACEMENT CHARACTER}")),
    ],
)
def test_log_line_is_read_and_anything_else_is_a_warning(line: bytes, log: Log) -> None:
    assert parse_log(line) == log


def test_log_line_leaves_out_where_in_the_code_it_was_written() -> None:
    log = Log("info", "read", {"source": "flow.capture", "file": "a.py:1", "traceback": ["x"], "pages": 3})
    assert log.as_text() == "INFO  read pages=3"


def test_a_line_at_debug_says_when_and_of_which_stream() -> None:
    at = datetime(2026, 1, 1, 12, 3, 10, tzinfo=UTC)
    fields = {"source": "flow.capture.Prices.backfill._active", "args": {"path": "/v1/prices"}}
    assert Log("debug", "request", fields, at).as_text() == (
        'DEBUG 12:03:10 Prices.backfill._active: request args={"path":"/v1/prices"}'
    )
    assert Log("debug", "opening", {"source": "flow"}, at).as_text() == "DEBUG 12:03:10 connector: opening"


def test_the_fields_of_a_status_are_for_programs() -> None:
    status = Log("info", "Following 2 streams", {"eventType": "connectorStatus", "streams": 2})
    assert status.as_text() == "INFO  Following 2 streams"
    assert '"streams":2' in status.as_json()
