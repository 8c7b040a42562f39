#!/bin/sh
# ClickHouse 26.9 (chdb 4.4.0): the type JSON rewrites texts that look like a date or a time.
#
# A text in a document of the type JSON is stored as a Date or a DateTime if it can be read as one, and is read back in
# ClickHouse's own form and in the session's time zone. The times of Stripe's API v2 lose their T and Z, and are another
# time in another zone, which the text does not name. The texts that users put into metadata change, too. With
# input_format_try_infer_dates and input_format_try_infer_datetimes at 0, each text is as it was.
#
# Output seen:
#   written:      {"created":"2026-05-28T20:26:40.5Z","metadata":{"batch":"2026-10-11 12","due":"2026-1-2"}}
#   in UTC:       {"created":"2026-05-28 20:26:40.500000000","metadata":{"batch":"2026-10-11 12:00:00","due":"2026-01-02"}}
#   in New York:  {"created":"2026-05-28 16:26:40.500000000","metadata":{"batch":"2026-10-11 12:00:00","due":"2026-01-02"}}
#   both at 0:    {"created":"2026-05-28T20:26:40.5Z","metadata":{"batch":"2026-10-11 12","due":"2026-1-2"}}
#
# Needs python3 and a package index (180 MB). Fails if ClickHouse reads it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps chdb==4.4.0 chdb-core==26.9.0
cat > "$folder/read.py" <<'PYTHON'
import chdb

WRITTEN = '{"created":"2026-05-28T20:26:40.5Z","metadata":{"batch":"2026-10-11 12","due":"2026-1-2"}}'


def read(zone: str, settings: str = "") -> str:
    """The document after it was of the type JSON."""
    query = f"SELECT '{WRITTEN}'::JSON SETTINGS session_timezone='{zone}'{settings}"
    return str(chdb.query(query, "TSVRaw")).strip()


utc, new_york = read("UTC"), read("America/New_York")
off = read("UTC", ", input_format_try_infer_dates=0, input_format_try_infer_datetimes=0")
print("written:     ", WRITTEN)
print("in UTC:      ", utc)
print("in New York: ", new_york)
print("both at 0:   ", off)
metadata = '"metadata":{"batch":"2026-10-11 12:00:00","due":"2026-01-02"}}'
assert utc == '{"created":"2026-05-28 20:26:40.500000000",' + metadata
assert new_york == '{"created":"2026-05-28 16:26:40.500000000",' + metadata
assert off == WRITTEN
PYTHON
"$folder/venv/bin/python" "$folder/read.py"
