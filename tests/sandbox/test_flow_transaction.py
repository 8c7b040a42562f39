"""What a transaction publishes of the documents that a connector wrote, whatever these are."""

from functools import reduce
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.flow.database import Database
from sandbox.flow.document import Document, KeyLocation, key_of, reduced
from sandbox.flow.errors import ProtocolError
from sandbox.flow.schema import Schema
from sandbox.flow.transaction import Accumulator, Target
from tests.sandbox.fake_connector import SCHEMA

COLLECTION = "acmeCo/Prices"
KEY = [KeyLocation("/id", "a default")]
WRITE_SCHEMA = {**SCHEMA, "required": [], "properties": {"amount": {"type": "integer"}}}
TARGET = Target(COLLECTION, KEY, Schema(COLLECTION, WRITE_SCHEMA), b"")
BINDINGS = 2
"""Both write to one collection."""

IDS = st.sampled_from(["a", "b", 1, 2.5, True, None])
DOCUMENTS = st.builds(
    lambda id, op, more: {**id, **more, "_meta": {"op": op}},
    st.fixed_dictionaries({}, optional={"id": IDS}),
    st.sampled_from("ud"),
    st.dictionaries(st.sampled_from(["amount", "x"]), st.integers(0, 3)),
)
CHECKPOINT = None
WRITTEN = st.lists(st.tuples(st.integers(0, BINDINGS - 1), DOCUMENTS) | st.just(CHECKPOINT), max_size=20)


def accumulated(written: list[tuple[int, Document] | None]) -> Accumulator:
    accumulator = Accumulator([TARGET] * BINDINGS)
    for each in written:
        if each is CHECKPOINT:
            accumulator.add("checkpoint", {})
        else:
            accumulator.add("captured", {"binding": each[0], "doc": each[1]})
    return accumulator


def place(each: tuple[int, Document]) -> Any:
    return each[0], key_of(each[1], KEY)


def one(documents: list[Document]) -> Document:
    """All documents of a key as one."""
    return reduce(lambda a, b: reduced(a, b, TARGET.schema.reductions(b)), documents)


@given(WRITTEN)
def test_first_document_of_a_key_is_published_as_it_is_and_a_second_has_all_further_ones(
    written: list[tuple[int, Document] | None],
) -> None:
    last = max((n for n, each in enumerate(written) if each is CHECKPOINT), default=0)
    covered = [each for each in written[:last] if each]
    published = accumulated(written).take().documents
    assert list(published) == sorted(published, key=place), "by binding, then by key"
    found = {at: [doc for _, doc in group] for at, group in groupby(published, place)}
    assert found.keys() == {place(each) for each in covered}
    for at, documents in found.items():
        captured = [each[1] for each in covered if place(each) == at]
        expected = captured[:1] if len(captured) == 1 else [captured[0], one(captured[1:])]
        assert documents == expected


@given(WRITTEN)
def test_connector_that_exits_before_a_checkpoint_has_failed(
    written: list[tuple[int, Document] | None],
) -> None:
    accumulator = accumulated(written)
    accumulator.take()
    if written and written[-1] is not CHECKPOINT:
        with pytest.raises(ProtocolError, match="exited before the checkpoint"):
            accumulator.end()
    else:
        accumulator.end()


TEXT_IDS = st.sampled_from(["a", "b"])
CHANGES = st.fixed_dictionaries(
    {"_meta": st.fixed_dictionaries({"op": st.sampled_from("ud")}), "amount": st.integers(0, 3)},
    optional={"id": TEXT_IDS},
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("transaction") / "x.duckdb"


@settings(max_examples=15)  # a file takes its time
@given(written=st.lists(st.tuples(st.integers(0, BINDINGS - 1), CHANGES), min_size=1, max_size=10))
def test_table_has_one_row_for_each_key_whatever_bindings_write_to_it(
    path: Path, written: list[tuple[int, Document] | None]
) -> None:
    path.unlink(missing_ok=True)
    published = [doc for _, doc in accumulated([*written, CHECKPOINT]).take().documents]
    expected: dict[str, Any] = {}
    for document in published:
        id, is_deletion = KEY[0].value(document), document["_meta"]["op"] == "d"
        amount = expected.get(id, (None,))[0] if is_deletion else document["amount"]
        expected[id] = amount, is_deletion
    with Database(path, keep_deletions=True) as database:
        database.write({COLLECTION: [{"id": "z", "amount": 0}, *published]}, {COLLECTION: KEY})
    with duckdb.connect(str(path), read_only=True) as database:
        rows = database.execute("SELECT id, amount, _deleted FROM Prices WHERE id <> 'z'").fetchall()
    assert len(rows) == len(expected)
    assert {id: tuple(rest) for id, *rest in rows} == expected
