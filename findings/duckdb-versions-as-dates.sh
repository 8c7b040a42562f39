#!/bin/sh
# DuckDB 2.0.1: read_json takes Stripe's older version names for dates, and a query fails at the first newer name.
#
# An event at Stripe names the API version that it was rendered in: "2024-06-20" at first, "2026-10-28.endive" since
# the versions have names. A file whose first 20,480 objects are of older versions gets a DATE column. A newer object
# behind them ends a query that reads the column, and one that only counts passes: the column is a date for it too.
# With fewer older objects in front, the column is a text and each value is as in the file.
#
# Output seen:
#   the column's type:  DATE
#   count:              30001
#   the newest version: Invalid Input Error: JSON transform error
#   a short file:       [('2024-06-20',), ('2026-10-28.endive',)]
#
# Needs python3 and a package index. Fails if DuckDB reads it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1
cat > "$folder/read.py" <<'PYTHON'
import json
import sys
from pathlib import Path

import duckdb

OLDER, NEWER = "2024-06-20", "2026-10-28.endive"


def events(name: str, older: int) -> str:
    path = Path(sys.argv[1]) / name
    versions = [OLDER] * older + [NEWER]
    lines = [json.dumps({"id": f"evt_{n}", "api_version": version}) for n, version in enumerate(versions)]
    path.write_text("\n".join(lines))
    return f"read_json('{path}')"


long, short = events("long.jsonl", 30_000), events("short.jsonl", 1)
((kind, _),) = duckdb.sql(f"SELECT typeof(api_version), count(*) FROM {long} GROUP BY 1").fetchall()
((count,),) = duckdb.sql(f"SELECT count(*) FROM {long}").fetchall()
try:
    newest = str(duckdb.sql(f"SELECT id, api_version FROM {long} WHERE id = 'evt_30000'").fetchall())
except duckdb.Error as error:
    newest = str(error).partition(" in file")[0]
few = duckdb.sql(f"SELECT api_version FROM {short}").fetchall()
print("the column's type: ", kind)
print("count:             ", count)
print("the newest version:", newest)
print("a short file:      ", few)
assert (kind, count) == ("DATE", 30_001)
assert newest == "Invalid Input Error: JSON transform error"
assert few == [(OLDER,), (NEWER,)]
PYTHON
"$folder/venv/bin/python" "$folder/read.py" "$folder"
