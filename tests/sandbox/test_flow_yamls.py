"""Edits of YAML texts: the edited value is what was asked for, and all else stays as its author wrote it."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.flow.errors import CatalogError
from sandbox.flow.yamls import dump, parse, with_items, with_value

NAMES = st.sampled_from(["a", "b c", "no", "1", "x: y", "#"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text("a1:#-'\" \n{", max_size=6)
    | st.just("2020-01-01")
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(NAMES, VALUES, max_size=4)


def commented(content: dict[str, Any]) -> str:
    """The content as YAML, with a comment above and behind each of its members."""
    members = (f"# above {n}\n{dump({name: content[name]})}" for n, name in enumerate(content))
    return "# top\n" + "".join(members) + "# end\n"


def comments(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("# ")]


@given(VALUES)
def test_what_is_dumped_is_read_back(value: Any) -> None:
    assert parse(dump({"value": value}), "") == {"value": value}


@given(MAPPINGS, NAMES, NAMES | st.none(), VALUES, st.booleans())
def test_value_is_set_and_comments_stay(
    content: dict[str, Any], outer: str, inner: str | None, value: Any, first: bool
) -> None:
    text, wanted = commented(content), copy.deepcopy(content)
    path = [outer] if inner is None else [outer, inner]
    there = {} if content.get(outer) is None else content[outer]
    if inner is not None and not isinstance(there, dict):
        with pytest.raises(CatalogError):
            with_value(text, path, value, first=first)
        return
    wanted[outer] = value if inner is None else {**there, inner: value}
    edited = with_value(text, path, value, first=first)
    assert parse(edited, "") == wanted
    assert comments(edited) == comments(text)


@given(st.lists(VALUES, min_size=1, max_size=4), st.data())
def test_items_are_kept_moved_dropped_and_added(items: list[Any], data: st.DataObject) -> None:
    text = dump({"before": 1, "items": items, "after": [1]})
    chosen = data.draw(
        st.lists(st.integers(0, len(items) - 1) | st.fixed_dictionaries({"a": VALUES}), max_size=5)
    )
    edited = with_items(text, ["items"], chosen)
    wanted = [items[item] if isinstance(item, int) else item for item in chosen]
    assert parse(edited, "") == {"before": 1, "items": wanted, "after": [1]}


def test_kept_items_keep_their_comments_and_layout() -> None:
    text = "x:\n    # of one\n    -   {one:  1}  # behind\n\n    # of two\n    - two:\n          - 2\n# end\n"
    assert (
        with_items(text, ["x"], ["new", 1])
        == "x:\n    - new\n\n    # of two\n    - two:\n          - 2\n# end\n"
    )


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("", "a:\n  b: 1\n"),
        ("# nothing", "# nothing\na:\n  b: 1\n"),
        ("a:\n", "a:\n  b: 1\n"),
        ("a: {}", "a:\n  b: 1"),
        ("a: {b: 0, c: 2} # c\n", "a: {b: 1, c: 2} # c\n"),
        ("a:\n    c: |\n        text\n\n# end", "a:\n    c: |\n        text\n\n    b: 1\n# end\n"),
    ],
)
def test_value_finds_its_place(text: str, edited: str) -> None:
    assert with_value(text, ["a", "b"], 1) == edited


def test_nothing_is_added_inside_a_flow_collection() -> None:
    with pytest.raises(CatalogError, match="a/b can't be added: write a as a block of YAML"):
        with_value("a: {c: 1}\n", ["a", "b"], 1)
