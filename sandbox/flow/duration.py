"""Durations as people write them in catalogs and flags: `500ms`, `10s`, `1m`, `1h 30m`."""

import re

_NAMES = {
    0.001: "ms msec millis",
    1: "s sec secs second seconds",
    60: "m min mins minute minutes",
    3600: "h hr hrs hour hours",
    86400: "d day days",
}
_SECONDS = {name: seconds for seconds, names in _NAMES.items() for name in names.split()}
_TERM = r"(\d+)\s*([a-z]+)\s*"


def parse_duration(text: str) -> float:
    """The seconds that `text` names. Raises ValueError if it names none."""
    terms = re.findall(_TERM, text)
    if not re.fullmatch(f"({_TERM})+", text) or any(unit not in _SECONDS for _, unit in terms):
        raise ValueError(f"{text!r} is not a duration; write one as in 500ms, 10s, 5m or 1h 30m")
    return sum(int(number) * _SECONDS[unit] for number, unit in terms)
