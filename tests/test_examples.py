"""examples/: numbers for Prometheus, and alerts on them, made of summaries as the connector writes them."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from ruamel.yaml import YAML

from examples.metrics import HELP, exposition
from source_stripe_native.capture.summary import Facts, OldestCursor
from tests.documentation import ROOT
from tests.test_summary_docs import QUIET, TROUBLE

TASK: Final = "acmeCo/stripe/source-stripe-native"
AT: Final = datetime(2026, 5, 28, 20, tzinfo=UTC)
ALERTS: Final = YAML(typ="safe").load((ROOT / "examples" / "alerts.yaml").read_text())["groups"][0]["rules"]


def logged(facts: Facts, at: datetime = AT, shard: str = "00000000") -> str:
    """A line of `flowctl logs`."""
    fields: dict[str, Any] = {"eventType": "connectorStatus", **facts.fields()}
    about = {"kind": "capture", "name": TASK, "keyBegin": shard, "rClockBegin": "00000000"}
    entry = {"shard": about, "ts": at.isoformat().replace("+00:00", "Z"), "level": "info"}
    return json.dumps(entry | {"message": facts.words(), "fields": fields})


def numbers(lines: list[str], shard: str = "00000000") -> dict[str, float]:
    """The numbers of a shard by their names, once the text has the form that Prometheus reads."""
    found = {}
    for line in exposition(lines):
        if not line.startswith("# "):
            sample = re.fullmatch(r'stripe_capture_(\w+)\{task="(.+)",shard="(\w+)"\} ([\d.]+)', line)
            assert sample, line
            if sample[3] == shard:
                found[sample[1]] = float(sample[4])
    return found


def test_the_numbers_are_those_of_the_last_summary_of_each_shard() -> None:
    other = '{"shard": {}, "ts": "", "level": "info", "message": "x", "fields": {"stream": "Prices"}}'
    lines = [logged(TROUBLE), other, "no JSON", "[]", logged(QUIET, AT + timedelta(minutes=1))]
    lines.append(logged(TROUBLE, shard="80000000"))
    assert numbers(lines) == {
        "summary_time_seconds": AT.timestamp() + 60,
        "streams": QUIET.streams,
        "backfilling_streams": 0,
        "oldest_cursor_age_seconds": 300,
        "requests_per_second": 0.4,
        "requests_limit": 20,
        "requests_refused_for_rate": 0,
        "accounts_behind_seconds": 0,
        "paused_accounts": 0,
        "late_streams": 0,
    }
    troubled = numbers(lines, "80000000")
    assert (troubled["paused_accounts"], troubled["late_streams"], troubled["backfilling_streams"]) == (
        3,
        1,
        1,
    )
    assert HELP.keys() - numbers([logged(replace(QUIET, oldest=None))]).keys() == {
        "oldest_cursor_age_seconds"
    }


def fires(alert: dict[str, Any], values: dict[str, float], now: datetime) -> bool:
    """Whether an alert's condition holds, beside how long it has to."""
    condition = re.fullmatch(r"(time\(\) - )?stripe_capture_(\w+) > (\d+)", alert["expr"])
    assert condition, alert["expr"]
    value = values[condition[2]]
    return (now.timestamp() - value if condition[1] else value) > int(condition[3])


@pytest.mark.parametrize(
    ("facts", "minutes", "fired"),
    [
        (QUIET, 10, []),
        (QUIET, 16, ["StripeCaptureIsSilent"]),
        (TROUBLE, 1, ["StripeCaptureIsPaused"]),
        (
            replace(QUIET, oldest=OldestCursor("Files", None, timedelta(minutes=21))),
            1,
            ["StripeCaptureIsLate"],
        ),
    ],
)
def test_an_alert_fires_for_its_trouble_alone(facts: Facts, minutes: int, fired: list[str]) -> None:
    values, now = numbers([logged(facts)]), AT + timedelta(minutes=minutes)
    assert [each["alert"] for each in ALERTS if fires(each, values, now)] == fired


def test_the_example_is_a_program_without_packages() -> None:
    run = subprocess.run(
        [sys.executable, "-I", "-S", "examples/metrics.py"],
        input=logged(TROUBLE),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.splitlines() == [*exposition([logged(TROUBLE)])]
    assert run.stderr == ""
