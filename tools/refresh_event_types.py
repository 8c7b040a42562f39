"""Writes tests/event_types.txt anew: every type of event that Stripe's OpenAPI document knows, one a line.

python tools/refresh_event_types.py path/to/spec3.json
"""

import json
import sys
from pathlib import Path
from typing import Any

EVENT_TYPES = Path(__file__).parents[1] / "tests" / "event_types.txt"


def event_types(spec: Any) -> list[str]:
    """The types that a webhook endpoint can be made for, sorted."""
    form = spec["paths"]["/v1/webhook_endpoints"]["post"]["requestBody"]["content"]
    fields = form["application/x-www-form-urlencoded"]["schema"]["properties"]
    return sorted(set(fields["enabled_events"]["items"]["enum"]) - {"*"})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python tools/refresh_event_types.py path/to/spec3.json")
    found = event_types(json.loads(Path(sys.argv[1]).read_bytes()))
    EVENT_TYPES.write_text("".join(f"{each}\n" for each in found))
