"""Turn the summaries of captures into numbers for Prometheus.

flowctl logs --task acmeCo/stripe/source-stripe-native --since 20m | python examples/metrics.py > stripe.prom

Reads log lines on stdin, as flowctl prints them, and writes the last summary of each shard in Prometheus'
text format, for the textfile collector of a node exporter. It needs Python alone. docs/operate.md documents
the fields of a summary, and examples/alerts.yaml has alerts on these numbers.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

Json = dict[str, Any]

HELP = {
    "summary_time_seconds": "When the last summary was written, as a Unix time.",
    "streams": "Streams that are captured.",
    "backfilling_streams": "Streams whose existing objects are being read.",
    "oldest_cursor_age_seconds": "How late the documents are at most.",
    "requests_per_second": "Requests to Stripe since the summary before.",
    "requests_limit": "Requests a second that the capture allows itself.",
    "requests_refused_for_rate": "Requests that Stripe refused for their rate since the summary before.",
    "accounts_behind_seconds": "How long an account has waited to be read.",
    "paused_accounts": "Accounts of which something is paused after a failure.",
    "late_streams": "Streams whose changes wait for more than ten minutes.",
}


def last_summaries(lines: Iterable[str]) -> dict[tuple[str, str], Json]:
    """Return the last summary of each task and shard. Other lines are passed over."""
    found: dict[tuple[str, str], Json] = {}
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("fields", {}).get("eventType") == "connectorStatus":
            shard = entry["shard"]
            found[shard["name"], shard["keyBegin"]] = entry
    return found


def numbers(entry: Json) -> dict[str, float | None]:
    """Return the numbers of a summary by their names in HELP; None where it has none."""
    fields = entry["fields"]
    return {
        "summary_time_seconds": datetime.fromisoformat(entry["ts"]).timestamp(),
        "streams": fields["streams"],
        "backfilling_streams": len(fields["backfilling"]),
        "oldest_cursor_age_seconds": (fields["oldest_cursor"] or {}).get("age_seconds"),
        "requests_per_second": fields["requests"]["per_second"],
        "requests_limit": fields["requests"]["limit"],
        "requests_refused_for_rate": fields["requests"]["refused_for_rate"],
        "accounts_behind_seconds": fields["accounts_behind_seconds"],
        "paused_accounts": fields["paused"]["accounts"],
        "late_streams": len(fields["late"]),
    }


def exposition(lines: Iterable[str]) -> Iterator[str]:
    """Return the lines of the text format."""
    summaries = {of: numbers(entry) for of, entry in last_summaries(lines).items()}
    for name, text in HELP.items():
        yield f"# HELP stripe_capture_{name} {text}"
        yield f"# TYPE stripe_capture_{name} gauge"
        for (task, shard), values in summaries.items():
            if (value := values[name]) is not None:
                yield f'stripe_capture_{name}{{task="{task}",shard="{shard}"}} {value}'


if __name__ == "__main__":
    print(*exposition(sys.stdin), sep="\n")
