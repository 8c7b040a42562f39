#!/bin/sh
# pandas 2.3.3: read_json makes numbers of texts that have only digits, and a time of one of two equal fields.
#
# A bank account at Stripe has "last4": "0042" and "routing_number": "011000015", both of them texts. A column of
# such texts is read as numbers, without a warning: 42 and 11000015. The leading zeros are lost, and no join finds
# the account. A field whose name ends in "_at" becomes a time, and "created" stays a number of seconds.
# With dtype=False and convert_dates=False each value is as in the file.
#
# Output seen:
#   by default: [{'id': 'ba_1', 'last4': 42, 'routing_number': 11000015, 'created': 1780000000, 'expires_at': Timestamp('2026-05-28 20:26:40')}]
#   as it is:   [{'id': 'ba_1', 'last4': '0042', 'routing_number': '011000015', 'created': 1780000000, 'expires_at': 1780000000}]
#
# Needs python3 and a package index. Fails if pandas reads it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pandas==2.3.3
cat > "$folder/accounts.jsonl" <<'JSON'
{"id": "ba_1", "last4": "0042", "routing_number": "011000015", "created": 1780000000, "expires_at": 1780000000}
JSON
cat > "$folder/read.py" <<'PYTHON'
import sys

import pandas

path = sys.argv[1]
by_default = pandas.read_json(path, lines=True).to_dict("records")
as_it_is = pandas.read_json(path, lines=True, dtype=False, convert_dates=False).to_dict("records")
print("by default:", by_default)
print("as it is:  ", as_it_is)
(one,), (other,) = by_default, as_it_is
assert (one["last4"], one["routing_number"]) == (42, 11000015)
assert isinstance(one["expires_at"], pandas.Timestamp) and one["created"] == 1780000000
assert (other["last4"], other["routing_number"]) == ("0042", "011000015")
assert other["expires_at"] == other["created"] == 1780000000
PYTHON
"$folder/venv/bin/python" "$folder/read.py" "$folder/accounts.jsonl"
