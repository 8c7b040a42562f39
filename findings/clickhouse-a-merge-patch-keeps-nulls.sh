#!/bin/sh
# ClickHouse 26.9 (chdb 4.4.0): JSONMergePatch writes a null where a JSON Merge Patch deletes.
#
# In a JSON Merge Patch (RFC 7396), null deletes a key. Flow's connectors checkpoint their state in such patches: a part
# that is done is named with null. ClickHouse's function of that name merges the objects and keeps the null as a value,
# also in an object that was not there before. A state that is put together with it has every part that ever was in it,
# and its number of keys does not show which parts are left. SQLite's json_patch follows the RFC.
#
# Output seen, for the state of a backfill of two accounts:
#   state:      {"acct_1":{"after":"cus_9"},"acct_2":{"after":""}}
#   patch:      {"acct_1":null,"acct_3":{"after":null}}
#   SQLite:     {"acct_2":{"after":""},"acct_3":{}}
#   ClickHouse: {"acct_1":null,"acct_2":{"after":""},"acct_3":{"after":null}}
#
# Needs python3 and a package index (180 MB). Fails if ClickHouse merges it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps chdb==4.4.0 chdb-core==26.9.0
cat > "$folder/merge.py" <<'PYTHON'
import sqlite3

import chdb

STATE = '{"acct_1":{"after":"cus_9"},"acct_2":{"after":""}}'
PATCH = '{"acct_1":null,"acct_3":{"after":null}}'

((sqlite,),) = sqlite3.connect(":memory:").execute("SELECT json_patch(?, ?)", (STATE, PATCH))
clickhouse = str(chdb.query(f"SELECT JSONMergePatch('{STATE}', '{PATCH}')", "TSVRaw")).strip()
print("state:     ", STATE)
print("patch:     ", PATCH)
print("SQLite:    ", sqlite)
print("ClickHouse:", clickhouse)
assert sqlite == '{"acct_2":{"after":""},"acct_3":{}}'
assert clickhouse == '{"acct_1":null,"acct_2":{"after":""},"acct_3":{"after":null}}'
PYTHON
"$folder/venv/bin/python" "$folder/merge.py"
