#!/bin/sh
# DuckDB 2.0.1: two keys of an object that differ in case alone are an error, and the option that the error names
# drops one of them.
#
# Users choose the keys of metadata at Stripe, and "Plan" and "plan" are two keys, in JSON as at Stripe. read_json
# refuses the whole file for one such object. With ignore_errors=true, which its message recommends, it reads the
# first key and drops the other one, without a word. Read as a column of the type JSON, the object is whole.
#
# Output seen:
#   by itself:     Not implemented Error: Duplicate name "plan" in struct auto-detected in JSON, try ignore_errors=true
#   ignore_errors: [('cus_1', {'Plan': 'pro'})]
#   as JSON:       [('cus_1', '{"Plan":"pro","plan":"free"}')]
#
# Needs python3 and a package index. Fails if DuckDB reads it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check duckdb==2.0.1
cat > "$folder/customers.jsonl" <<'JSON'
{"id":"cus_1","metadata":{"Plan":"pro","plan":"free"}}
JSON
cat > "$folder/read.py" <<'PYTHON'
import sys

import duckdb

path = sys.argv[1]
try:
    by_itself = duckdb.sql(f"SELECT * FROM read_json('{path}')").fetchall()
except duckdb.Error as error:
    by_itself = str(error)
ignoring = duckdb.sql(f"SELECT * FROM read_json('{path}', ignore_errors=true)").fetchall()
columns = "{'id': 'VARCHAR', 'metadata': 'JSON'}"
as_json = duckdb.sql(f"SELECT * FROM read_json('{path}', columns={columns})").fetchall()
print("by itself:    ", by_itself)
print("ignore_errors:", ignoring)
print("as JSON:      ", as_json)
assert 'Duplicate name "plan"' in by_itself
assert ignoring == [("cus_1", {"Plan": "pro"})]
assert as_json == [("cus_1", '{"Plan":"pro","plan":"free"}')]
PYTHON
"$folder/venv/bin/python" "$folder/read.py" "$folder/customers.jsonl"
