#!/bin/sh
# estuary-cdk 0.3.0.dev31: next_fire(cron, start, end) returns a firing after `end`, which it documents as exclusive.
#
# At a start the CDK asks for a scheduled backfill that was missed: a firing between the last one and now. A firing
# within the coming minute is returned as well, and taken for a missed one. The backfill then runs at once, a minute
# early, and the firing itself asks for another one.
#
# Output seen:
#   last run: 06:00:00, now: 05:59:30 a day later, missed: 06:00:00, in 30 seconds
#
# Needs python3 and a package index. Fails if the CDK answers otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check estuary-cdk==0.3.0.dev31
cat > "$folder/ask.py" <<'PYTHON'
from datetime import UTC, datetime, timedelta

from estuary_cdk.cron import next_fire

last_run = datetime(2026, 5, 27, 6, 0, 0, tzinfo=UTC)
now = datetime(2026, 5, 28, 5, 59, 30, tzinfo=UTC)
missed = next_fire("0 6 * * *", last_run, now)
assert missed is not None
early = missed - now
print(
    f"last run: {last_run:%H:%M:%S}, now: {now:%H:%M:%S} a day later, missed: {missed:%H:%M:%S}, "
    f"in {early.seconds} seconds"
)
assert early == timedelta(seconds=30)
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
