"""What a state remembers of lists, as entries that the CDK's own types read."""

from datetime import UTC, datetime
from typing import Any, Final

import orjson
import pytest
from estuary_cdk.capture.common import ResourceState
from estuary_cdk.utils import json_merge_patch
from hypothesis import given, settings
from hypothesis import strategies as st

from source_stripe_native.state.remembered_lists import Listed, entry_key, read_entries, to_entry
from source_stripe_native.state.shapes import ConnectorState, previous_state, readable_part, with_cursors
from tests.capture import Json

AT: Final = datetime(2026, 5, 28, 20, 26, 40, tzinfo=UTC)
ACCOUNTS: Final = ("acct_1", "acct_2")
ENTRY: Final = to_entry("we_1", Listed(b"0123456789abcdef", {"id": "we_1", "object": "x"}), AT)

listed = st.builds(
    Listed,
    digest=st.sampled_from([b""]) | st.binary(min_size=16, max_size=16),
    keys=st.fixed_dictionaries({"id": st.text(max_size=2)}, optional={"x": st.text(), "": st.integers(0, 9)}),
)
remembered = st.dictionaries(
    st.tuples(st.sampled_from(ACCOUNTS), st.text(min_size=1, max_size=2)), listed, max_size=4
)


def state_with(entries: Json) -> ResourceState:
    """As it is after Flow had it."""
    state = ResourceState.model_validate({"snapshot": entries})
    return ResourceState.model_validate_json(state.model_dump_json(exclude_unset=True))


@settings(max_examples=30)
@given(remembered)
def test_what_is_remembered_is_read_as_it_was_written(objects: dict[tuple[str, str], Listed]) -> None:
    entries = {entry_key(*key): to_entry(key[1], each, AT) for key, each in objects.items()}
    found, patch = read_entries(state_with(entries), ACCOUNTS)
    assert {(account, name): each for account, name, each in found} == objects
    assert patch == {}
    _, patch = read_entries(state_with(entries), ["acct_2"])
    assert patch == {entry_key(*key): None for key in objects if key[0] == "acct_1"}


def test_an_entry_is_small() -> None:
    keys = {"id": "we_1MqqbKLkdIwHu7ixraBm864M", "object": "webhook_endpoint"}
    entry = to_entry(keys["id"], Listed(bytes(16), keys), AT)
    assert len(orjson.dumps({entry_key("acct_1MqqbKLkdIwHu7ix", keys["id"]): entry})) < 200


@pytest.mark.parametrize("text", ["", "x", "A {}", "AAAA", 'AAAA {"id"', "AAAA []", "AAAA 7", "é {}"])
def test_an_entry_that_cannot_be_read_is_left_out_and_removed(text: str) -> None:
    state = state_with({"acct_1/we_1": ENTRY | {"last_digest": text}, "acct_1/we_2": ENTRY, "we_3": ENTRY})
    found, patch = read_entries(state, ACCOUNTS)
    assert [name for _, name, _ in found] == ["we_2"]
    assert patch == {"acct_1/we_1": None, "we_3": None}


def test_a_snapshot_that_is_the_only_one_of_its_binding_makes_room_for_entries() -> None:
    state = ResourceState.model_validate({"snapshot": ENTRY})
    found, patch = read_entries(state, ACCOUNTS)
    assert found == []
    merged: Json = dict(ENTRY)
    json_merge_patch(merged, patch | {"acct_1/we_1": ENTRY})
    assert [name for _, name, _ in read_entries(state_with(merged), ACCOUNTS)[0]] == ["we_1"]


@pytest.mark.parametrize("snapshot", [None, 7, [], ENTRY, {"acct_1/we_1": None}, {"acct_1/we_1": {"x": 1}}])
def test_a_former_state_in_another_shape_remembers_nothing(snapshot: Any) -> None:
    assert readable_part({"snapshot": snapshot}) == {}
    assert readable_part({"snapshot": {"acct_1/we_1": ENTRY}}) == {"snapshot": {"acct_1/we_1": ENTRY}}


def test_a_repeat_remembers_what_the_former_state_did_whoever_requested_it() -> None:
    own: Json = {"inc": {"cursor": AT.isoformat()}, "snapshot": {"acct_1/we_1": ENTRY}}
    initial = ResourceState.model_validate({"inc": own["inc"]})
    for key, requests in (("X", {}), ("X.v1", {}), ("X", {"X": True})):
        states = {"bindingStateV1": {"X": own}, "backfillRequests": requests}
        before = previous_state(ConnectorState.model_validate(states), key)
        repeat = with_cursors(initial, before, "acct_1", AT)
        assert [name for _, name, _ in read_entries(repeat, ACCOUNTS)[0]] == ["we_1"]
