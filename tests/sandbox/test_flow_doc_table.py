"""Documents as a table: it fits into the width whatever they hold, and the key is always there."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandbox.flow.doc_table import table_lines
from sandbox.flow.document import KeyLocation

KEY = [KeyLocation("/id")]
PRICES = [
    {"id": "price_1", "object": "price", "active": True, "unit_amount": 2490, "metadata": {"a": "b"}},
    {"id": "price_2", "object": "price", "active": False, "unit_amount": 5, "metadata": {}},
]


def test_the_fields_that_differ_are_shown() -> None:
    assert list(table_lines("acmeCo/Prices", KEY, PRICES, 80)) == [
        "acmeCo/Prices: 2 documents",
        "id       active  unit_amount",
        "price_1  true    2490",
        "price_2  false   5",
        "",
    ]


def test_a_single_document_shows_all_that_has_room_and_a_deletion_is_one() -> None:
    document: dict[str, Any] = {"id": "cus_1", "name": "Ann\nLee", "note": "x" * 99, "_meta": {"op": "d"}}
    assert list(table_lines("acmeCo/Customers", KEY, [document], 30))[1:3] == [
        "id     op  name",
        "cus_1  d   Ann Lee",
    ]


def test_the_account_comes_before_other_fields() -> None:
    document: dict[str, Any] = {"id": "price_1", "object": "price", "active": True, "account_id": "acct_1"}
    assert list(table_lines("acmeCo/Prices", KEY, [document], 24))[1] == "id       account_id"
    found = [document, {**document, "id": "price_2", "active": False}]
    assert list(table_lines("acmeCo/Prices", KEY, found, 24))[1] == "id       active"


values = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text()
    | st.lists(st.integers())
    | st.just({"a": 1})
)
documents = st.dictionaries(st.text(min_size=1), values).map(lambda fields: {**fields, "id": "x"})


@given(st.lists(documents, min_size=1, max_size=5), st.integers(20, 200))
def test_a_table_fits_into_the_width(found: list[dict[str, Any]], width: int) -> None:
    lines = list(table_lines("acmeCo/Prices", KEY, found, width))
    assert len(lines) == len(found) + 3
    assert all(len(line) <= width for line in lines)
    assert all(line.startswith("x") for line in lines[2:-1])
