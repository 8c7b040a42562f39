"""`preview --into`: what SQL finds in the file, whatever documents came."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.__main__ import main
from sandbox.flow.database import Database
from sandbox.flow.document import KeyLocation
from tests.sandbox.fake_connector import catalog, written

PRICES = "acmeCo/Prices"
KEYS = {PRICES: [KeyLocation("/id")]}
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
CHANGES = st.lists(
    st.dictionaries(
        st.sampled_from("abc"),
        st.none() | st.fixed_dictionaries({"v": VALUES | st.lists(VALUES)}),
        min_size=1,
    ),
    max_size=5,
)
"""Transactions: each key's document, or None for its deletion."""


def into(directory: Path, steps: list[dict[str, Any]], *flags: str) -> Result:
    arguments = ["--source", str(written(directory, catalog(steps))), "--into", str(directory / "x.duckdb")]
    return CliRunner().invoke(main, ["preview", *arguments, *flags])


def ask(directory: Path, sql: str) -> list[Any]:
    with duckdb.connect(str(directory / "x.duckdb"), read_only=True) as database:
        return database.execute(sql).fetchall()


def doc(key: str, op: str = "u", **fields: Any) -> dict[str, Any]:
    return {"doc": {"id": key, "_meta": {"op": op}, **fields}}


CHECKPOINT: dict[str, Any] = {"checkpoint": {}}


def test_table_has_the_last_document_of_each_key_and_none_that_was_deleted(tmp_path: Path) -> None:
    steps = [
        *(doc("a", amount=1), doc("b", amount=2), doc("c", amount=3), CHECKPOINT),
        *(doc("a", amount=4), doc("b", op="d"), CHECKPOINT),
    ]
    result = into(tmp_path, steps, "--sessions", "2")
    assert (result.exit_code, result.output) == (0, f"Wrote 5 documents into {tmp_path / 'x.duckdb'}.\n")
    assert ask(tmp_path, "SELECT id, amount FROM Prices ORDER BY id") == [("a", 4), ("c", 3)]


def test_a_capture_that_finds_nothing_new_says_so(tmp_path: Path) -> None:
    result = into(tmp_path, [], "--timeout", "1s")
    assert (result.exit_code, result.output) == (0, f"Wrote 0 documents into {tmp_path / 'x.duckdb'}.\n")


def test_deleted_rows_are_marked_where_they_are_to_be_kept(tmp_path: Path) -> None:
    steps = [
        *(doc("a", amount=1), doc("b", amount=2), doc("c", amount=3), CHECKPOINT),
        *(doc("a", op="d"), doc("b", op="d"), doc("d", op="d"), CHECKPOINT),
        *(doc("b", amount=5), CHECKPOINT),
    ]
    assert into(tmp_path, steps, "--sessions", "3", "--keep-deletions").exit_code == 0
    found = ask(tmp_path, "SELECT id, amount, _deleted FROM Prices ORDER BY id")
    assert found == [("a", 1, True), ("b", 5, False), ("c", 3, False), ("d", None, True)]


def test_columns_have_the_types_of_the_values_and_nested_values_are_json(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "n": 1,
        "f": 0.5,
        "t": "x",
        "on": True,
        "tiers": [{"up_to": 5}],
        "nothing": None,
    }
    assert into(tmp_path, [doc("a", **fields), CHECKPOINT], "--sessions", "1").exit_code == 0
    described = {name: kind for name, kind, *_ in ask(tmp_path, "DESCRIBE Prices")}
    assert described == {
        "id": "VARCHAR",
        "n": "BIGINT",
        "f": "DOUBLE",
        "t": "VARCHAR",
        "on": "BOOLEAN",
        "tiers": "JSON",
        "nothing": "VARCHAR",
    }
    assert ask(tmp_path, "SELECT tiers[0].up_to::INT FROM Prices") == [(5,)]


def test_binding_without_documents_has_an_empty_table(tmp_path: Path) -> None:
    assert into(tmp_path, [CHECKPOINT], "--sessions", "1").exit_code == 0
    assert ask(tmp_path, "SELECT count(*) FROM Prices") == [(0,)]


def test_fields_whose_names_differ_in_case_alone_have_a_column_each(tmp_path: Path) -> None:
    steps = [doc("a", url="x", URL="y", _deleted=1, ID="z"), CHECKPOINT]
    assert into(tmp_path, steps, "--sessions", "1").exit_code == 0
    assert ask(tmp_path, "SELECT id, url, URL_, _deleted_, ID_ FROM Prices") == [("a", "x", "y", 1, "z")]


def test_file_that_is_no_database_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.duckdb").write_text("no database" * 1000)
    result = into(tmp_path, [CHECKPOINT], "--sessions", "1")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: can't write into {tmp_path / 'x.duckdb'}: ")
    assert result.stderr.count("\n") == 1


def test_deletions_are_kept_only_in_a_database(tmp_path: Path) -> None:
    source = str(written(tmp_path, catalog([CHECKPOINT])))
    result = CliRunner().invoke(main, ["preview", "--source", source, "--keep-deletions"])
    assert result.exit_code == 2


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("database") / "x.duckdb"


@settings(max_examples=5)  # a file takes its time
@given(changes=CHANGES)
def test_rows_equal_the_documents_whatever_types_their_values_have(path: Path, changes: list[Any]) -> None:
    path.unlink(missing_ok=True)
    expected: dict[str, Any] = {}
    for transaction in changes:
        documents = []
        for key, fields in transaction.items():
            documents.append({"id": key, **(fields or {}), "_meta": {"op": "u" if fields else "d"}})
            expected.pop(key, None)
            if fields:
                expected[key] = fields["v"]
        with Database(path) as database:  # anew each time: what it knows is in the file
            database.write({PRICES: documents}, KEYS)
    if expected:
        with duckdb.connect(str(path)) as database:
            found = database.execute("SELECT id, to_json(v) FROM Prices").fetchall()
        assert {key: None if v is None else json.loads(v) for key, v in found} == expected
