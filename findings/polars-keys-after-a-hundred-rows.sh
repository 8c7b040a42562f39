#!/bin/sh
# Polars 2.1.0: read_ndjson drops what only objects behind the hundredth have, without a word.
#
# Users of Stripe add metadata when they need it, and Stripe adds fields: most objects have an empty "metadata", and
# newer ones have keys in it. The schema is that of the first 100 lines. An object behind them loses each further
# field and each further key, also nested ones, and the frame has one row for each line, so that no count shows it.
# With infer_schema_length=None everything is there.
#
# Output seen:
#   by default: 201 rows, the last one: {'id': 'cus_200', 'metadata': {}}
#   in full:    201 rows, the last one: {'id': 'cus_200', 'metadata': {'order': '7'}, 'tax_exempt': 'none'}
#
# Needs python3 and a package index. Fails if Polars reads it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0
cat > "$folder/read.py" <<'PYTHON'
import json
import sys
from pathlib import Path

import polars

newest = {"id": "cus_200", "metadata": {"order": "7"}, "tax_exempt": "none"}
customers = [*({"id": f"cus_{number}", "metadata": {}} for number in range(200)), newest]
path = Path(sys.argv[1])
path.write_text("\n".join(map(json.dumps, customers)))
by_default = polars.read_ndjson(path).to_dicts()
in_full = polars.read_ndjson(path, infer_schema_length=None).to_dicts()
print(f"by default: {len(by_default)} rows, the last one: {by_default[-1]}")
print(f"in full:    {len(in_full)} rows, the last one: {in_full[-1]}")
assert len(by_default) == len(in_full) == 201
assert by_default[-1] == {"id": "cus_200", "metadata": {}}
assert in_full[-1] == newest
PYTHON
"$folder/venv/bin/python" "$folder/read.py" "$folder/customers.jsonl"
