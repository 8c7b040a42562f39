"""A DuckDB file with a table for each collection: a look at the data, by SQL. It is no materialization:
Flow's own have rules for types, schemas and recovery, which this has not.

A table is named as its collection, without the prefix. It has a row for each key, and a column for each field
of the documents: text, integers, numbers and booleans as they are, objects, arrays and what is of several
types as JSON. Types follow the documents: a column is altered when a value needs it. A collection's row is
replaced as a whole by its next document, and removed by its deletion, unless deletions are to be kept: then
its `_deleted` becomes true.
"""

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import orjson

from sandbox.flow.document import Document, Key, KeyLocation, key_of
from sandbox.flow.errors import FlowError

_DELETED = "_deleted"
_UNKNOWN = "VARCHAR"
"""The type of a column that has had no value yet."""
_LARGEST = (1 << 63) - 1


class Database:
    """Use `with Database(path) as database:`. Raises FlowError for a file that cannot be written."""

    def __init__(self, path: Path, *, keep_deletions: bool = False) -> None:
        self._path, self._keep_deletions = path, keep_deletions
        with self._errors():
            self._duckdb = duckdb.connect(str(path))
        self._columns: dict[str, dict[str, str]] = {}
        """The type of each column, by table."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._duckdb.close()

    def write(
        self, documents: Mapping[str, Sequence[Document]], keys: Mapping[str, Sequence[KeyLocation]]
    ) -> None:
        """Commits the documents of a transaction, by collection. The tables of all collections in `keys` are
        made at once."""
        tables = _table_names(keys)
        with self._errors():
            self._duckdb.begin()
            try:
                for collection, key in keys.items():
                    self._prepare(tables[collection], [_column_of(location) for location in key])
                for collection, each in documents.items():
                    for rows in _rounds(each, keys[collection]):
                        self._upsert(tables[collection], rows, keys[collection])
                self._duckdb.commit()
            except BaseException:
                self._duckdb.rollback()
                self._columns.clear()
                raise

    def _prepare(self, table: str, key: Sequence[str]) -> None:
        if table in self._columns:
            return
        deleted = [f"{_DELETED} BOOLEAN DEFAULT false"] if self._keep_deletions else []
        columns = [*(f"{_quoted(name)} {_UNKNOWN}" for name in key), *deleted]
        self._duckdb.execute(f"CREATE TABLE IF NOT EXISTS {_quoted(table)} ({', '.join(columns)})")
        if deleted:
            self._duckdb.execute(f"ALTER TABLE {_quoted(table)} ADD COLUMN IF NOT EXISTS {deleted[0]}")
        self._duckdb.execute(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE NOT internal AND table_name = ? "
            "AND schema_name = current_schema() AND database_name = current_database()",
            [table],
        )
        self._columns[table] = dict(self._duckdb.fetchall())

    def _upsert(self, table: str, documents: Sequence[Document], locations: Sequence[KeyLocation]) -> None:
        """Puts the rows of documents, each of another key, in place of those with their keys."""
        key = [_column_of(location) for location in locations]
        kept, gone = [], []
        for document in documents:
            is_deletion = document.get("_meta", {}).get("op") == "d"
            keys = {_column_of(location): location.value(document) for location in locations}
            if is_deletion:
                gone.append(keys)
            else:
                kept.append(self._row(table, document) | keys)
        same_key = " AND ".join(f"t.{_quoted(name)} IS NOT DISTINCT FROM s.{_quoted(name)}" for name in key)
        name = _quoted(table)
        if kept:
            self._stage(table, kept)
            self._duckdb.execute(f"DELETE FROM {name} t USING stage s WHERE {same_key}")
            self._duckdb.execute(f"INSERT INTO {name} BY NAME SELECT * FROM stage")
        if gone and self._keep_deletions:
            self._stage(table, gone)
            missing = f"NOT EXISTS (SELECT 1 FROM {name} t WHERE {same_key})"
            self._duckdb.execute(f"INSERT INTO {name} BY NAME SELECT * FROM stage s WHERE {missing}")
            self._duckdb.execute(f"UPDATE {name} t SET {_DELETED} = true FROM stage s WHERE {same_key}")
        elif gone:
            self._stage(table, gone)
            self._duckdb.execute(f"DELETE FROM {name} t USING stage s WHERE {same_key}")

    def _row(self, table: str, document: Document) -> dict[str, Any]:
        """The document by column. To SQL a name is the same in upper case and in lower case: a field whose
        column is taken by another gets an underscore."""
        taken = {name.lower(): name for name in self._columns[table]}
        row: dict[str, Any] = {}
        for field, value in document.items():
            if field == "_meta":
                continue
            column = field
            while taken.setdefault(column.lower(), column) != column or column in row or column == _DELETED:
                column += "_"
            row[column] = value
        return row

    def _stage(self, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Makes the temporary table `stage` of rows, once the table can hold them."""
        needed: dict[str, str] = {}
        for row in rows:
            for column, value in row.items():
                if value is not None:
                    kind = _type_of(value)
                    needed[column] = _widest(needed[column], kind) if column in needed else kind
        for column, kind in needed.items():
            self._widen(table, column, kind)
        columns = self._columns[table]
        names = dict.fromkeys(name for row in rows for name in row)
        for name in names:
            if name not in columns:
                self._widen(table, name, _UNKNOWN)
        shape = orjson.dumps([{name: columns[name] for name in names}]).decode()
        content = orjson.dumps([{k: v for k, v in row.items() if v is not None} for row in rows]).decode()
        self._duckdb.execute(
            "CREATE OR REPLACE TEMP TABLE stage AS SELECT unnest(from_json(?::JSON, ?), max_depth := 2)",
            [content, shape],
        )

    def _widen(self, table: str, column: str, kind: str) -> None:
        """Adds a column of a type to a table, or makes the column that it has hold the type too."""
        columns, name, place = self._columns[table], _quoted(table), _quoted(column)
        if column not in columns:
            self._duckdb.execute(f"ALTER TABLE {name} ADD COLUMN {place} {kind}")
        elif kind != columns[column]:
            if columns[column] == _UNKNOWN and self._is_empty(name, place):
                wanted = kind
            else:
                wanted = _widest(columns[column], kind)
            if wanted == columns[column]:
                return
            using = f"to_json({place})" if wanted == "JSON" else place
            self._duckdb.execute(f"ALTER TABLE {name} ALTER COLUMN {place} TYPE {wanted} USING {using}")
            kind = wanted
        columns[column] = kind

    def _is_empty(self, table: str, column: str) -> bool:
        return self._duckdb.execute(f"SELECT count({column}) FROM {table}").fetchone() == (0,)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            reason = " ".join(str(error).split())
            raise FlowError(f"can't write into {self._path}: {reason}") from error


def _table_names(collections: Mapping[str, Any]) -> Mapping[str, str]:
    """The last part of each collection's name; the whole name where several have that part."""
    short: dict[str, list[str]] = defaultdict(list)
    for collection in collections:
        short[collection.rpartition("/")[2].lower()].append(collection)
    return {
        collection: collection.rpartition("/")[2] if len(same) == 1 else collection
        for same in short.values()
        for collection in same
    }


def _rounds(documents: Sequence[Document], key: Sequence[KeyLocation]) -> Sequence[Sequence[Document]]:
    """The documents in parts that have no key twice: the first of each key, the second, and so on.

    A transaction has a key twice if it changed more than once, and for each binding of the collection."""
    rounds: list[list[Document]] = []
    seen: Counter[Key] = Counter()
    for document in documents:
        of_document = key_of(document, key)
        if seen[of_document] == len(rounds):
            rounds.append([])
        rounds[seen[of_document]].append(document)
        seen[of_document] += 1
    return rounds


def _column_of(location: KeyLocation) -> str:
    return location.pointer.removeprefix("/")


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def _type_of(value: Any) -> str:
    match value:
        case bool():
            return "BOOLEAN"
        case int():
            return "BIGINT" if -_LARGEST <= value <= _LARGEST else "HUGEINT"
        case float():
            return "DOUBLE"
        case str():
            return "VARCHAR"
    return "JSON"


def _widest(one: str, other: str) -> str:
    """The type of a column that holds values of both types."""
    numbers = ("BIGINT", "HUGEINT", "DOUBLE")
    if one in numbers and other in numbers:
        return max(one, other, key=numbers.index)
    return one if one == other else "JSON"
