#!/bin/sh
# ClickHouse 26.9 (chdb 4.4.0): the type JSON takes a dot in a key for a level, and gives back a key twice.
#
# Users choose the keys of metadata at Stripe, and "plan.tier" is one. The type JSON stores it as "tier" within "plan".
# Beside a key "plan" it reads the object back with two keys "plan": a JSON reader keeps the last one, and the plan is
# lost. Fields that are null and empty objects are not there when read back. The setting json_type_escape_dots_in_keys
# keeps the keys, but is off by default.
#
# Output seen:
#   written:             {"customer":null,"metadata":{"plan":"pro","plan.tier":"2"}}
#   read back:           {"metadata":{"plan":"pro","plan":{"tier":"2"}}}
#   as Python reads it:  {'metadata': {'plan': {'tier': '2'}}}
#   with escaped dots:   {"metadata":{"plan":"pro","plan.tier":"2"}}
#
# Needs python3 and a package index (180 MB). Fails if ClickHouse reads it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps chdb==4.4.0 chdb-core==26.9.0
cat > "$folder/read.py" <<'PYTHON'
import json

import chdb

WRITTEN = '{"customer":null,"metadata":{"plan":"pro","plan.tier":"2"}}'


def read(settings: str = "") -> str:
    """The document after it was of the type JSON."""
    return str(chdb.query(f"SELECT '{WRITTEN}'::JSON {settings}", "TSVRaw")).strip()


by_default, escaped = read(), read("SETTINGS json_type_escape_dots_in_keys=1")
in_python = json.loads(by_default)
print("written:            ", WRITTEN)
print("read back:          ", by_default)
print("as Python reads it: ", in_python)
print("with escaped dots:  ", escaped)
assert by_default == '{"metadata":{"plan":"pro","plan":{"tier":"2"}}}'
assert in_python == {"metadata": {"plan": {"tier": "2"}}}
assert escaped == '{"metadata":{"plan":"pro","plan.tier":"2"}}'
PYTHON
"$folder/venv/bin/python" "$folder/read.py"
