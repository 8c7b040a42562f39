#!/bin/sh
# pycron 3.3.0: schedules that cron itself serves never fire, and no error says so.
#
# Flow's CDK evaluates the schedule of a binding with pycron. Hours over midnight ("22-2"), Sunday as 7, a step from a
# start ("5/15") and names of months are taken without an error, and match no minute of a year. In a list or a range,
# the part that is not understood is left out: "1-7" are six days.
#
# Output seen (hits in 2026, of which each minute was asked for):
#   0 22-2 * * *    0
#   0 6 * * 7       0
#   5/15 * * * *    0
#   0 6 * JAN *     0
#   0 6 * * 1-7     313
#   0 6 * * 0       52
#
# Needs python3 and a package index. Fails if pycron matches otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pycron==3.3.0
cat > "$folder/ask.py" <<'PYTHON'
from datetime import datetime, timedelta

import pycron

START, DAYS = datetime(2026, 1, 1), 365
SEEN = {
    "0 22-2 * * *": 0,
    "0 6 * * 7": 0,
    "5/15 * * * *": 0,
    "0 6 * JAN *": 0,
    "0 6 * * 1-7": 313,
    "0 6 * * 0": 52,
}
minutes = [START + timedelta(minutes=number) for number in range(DAYS * 24 * 60)]
for schedule, seen in SEEN.items():
    hits = sum(pycron.is_now(schedule, minute) for minute in minutes)
    print(f"{schedule:<15} {hits}")
    assert hits == seen, schedule
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
