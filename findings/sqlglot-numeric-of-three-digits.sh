#!/bin/sh
# sqlglot 30.31.0: Postgres' ::numeric becomes a type of DuckDB that has three digits behind the point.
#
# In Postgres, a numeric without a precision keeps each digit. sqlglot translates it to DECIMAL without a precision, and
# that is DECIMAL(18,3) in DuckDB: each value is rounded before anything is multiplied or added. Stripe's
# "unit_amount_decimal" has up to twelve digits behind the point. A bill for metered use is 4 % too high, or zero. There
# is no warning, and no error with unsupported_level=RAISE. A query that names precision and scale keeps them.
#
# Output seen, with DuckDB 2.0.1, for a million units at 0.0125, at 0.00045 and at 0.0000001:
#   ::numeric          CAST(unit_amount_decimal AS DECIMAL)          13000 0 0
#   ::numeric(38,12)   CAST(unit_amount_decimal AS DECIMAL(38, 12))  12500 450 0.1
#
# Needs python3 and a package index. Fails if sqlglot or DuckDB answers otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check sqlglot==30.31.0 duckdb==2.0.1
cat > "$folder/bill.py" <<'PYTHON'
import logging

import duckdb
import sqlglot

PRICES = "(VALUES (1, '0.0125'), (2, '0.00045'), (3, '0.0000001')) AS prices(id, unit_amount_decimal)"
warnings: list[str] = []


class Warnings(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        warnings.append(record.getMessage())


def billed(kind: str) -> tuple[str, list[str]]:
    """The cast as sqlglot translates it, and what a million units cost at each price in DuckDB."""
    query = f"SELECT 1000000 * unit_amount_decimal::{kind} FROM {PRICES} ORDER BY id"
    level = sqlglot.ErrorLevel.RAISE
    (translated,) = sqlglot.transpile(query, read="postgres", write="duckdb", unsupported_level=level)
    cast = translated.partition(" * ")[2].partition(" FROM ")[0]
    return cast, [f"{amount.normalize():f}" for (amount,) in duckdb.sql(translated).fetchall()]


logging.getLogger().addHandler(Warnings())
by_default, named = billed("numeric"), billed("numeric(38,12)")
for kind, (cast, amounts) in {"::numeric": by_default, "::numeric(38,12)": named}.items():
    print(f"{kind:<18} {cast:<45}", *amounts)
assert by_default == ("CAST(unit_amount_decimal AS DECIMAL)", ["13000", "0", "0"])
assert named == ("CAST(unit_amount_decimal AS DECIMAL(38, 12))", ["12500", "450", "0.1"])
assert not warnings
PYTHON
"$folder/venv/bin/python" "$folder/bill.py"
