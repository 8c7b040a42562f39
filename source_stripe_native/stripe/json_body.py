"""From the body of an answer to a JSON object, as whole and as clean as any consumer of documents needs it.

Rule: what a lenient parser can read is read. An object that a strict parser refuses would be refused on every
attempt, and would end the capture for ever. What is no text (half a surrogate pair, invalid UTF-8) becomes
U+FFFD, what is no number (NaN, Infinity) null. A body that was cut off is still refused.

Numbers are those of orjson in both cases: integers of 64 bits (-2**63 to 2**64 - 1) are exact, and all other
numbers are IEEE doubles.
"""

import json
import math
import re
from typing import Any, Final

import orjson

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Half a pair: the parser has joined the whole ones."""
_WHITESPACE: Final = b" \t\n\r"
"""What JSON allows after a value."""
_REPLACEMENT: Final = "\ufffd"
_INTEGERS: Final = range(-(2**63), 2**64)
"""What orjson reads and writes as integers."""


def json_object(body: bytes) -> dict[str, Any] | None:
    """The JSON object that `body` is, None where it is none."""
    if not body.rstrip(_WHITESPACE).endswith(b"}"):
        return (
            None  # Cut off, or a page of HTML: a parser would find that out at its end, and both would try.
        )
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = _leniently(body)
    return parsed if isinstance(parsed, dict) else None


def _leniently(body: bytes) -> Any:
    try:
        text = body.decode("utf-8-sig", errors="replace")
        parsed = json.loads(
            text, strict=False, parse_int=_integer, parse_float=_number, parse_constant=lambda _: None
        )
        return _clean(parsed)
    except (ValueError, RecursionError):
        return None


def _integer(digits: str) -> int | float | None:
    # Python does not read thousands of digits as an integer, and no integer of 64 bits has so many.
    if len(digits) <= len(str(2**64)) and (value := int(digits)) in _INTEGERS:
        return value
    return _number(digits)


def _number(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _clean(value: Any) -> Any:
    match value:
        case str():
            return _SURROGATE.sub(_REPLACEMENT, value)
        case list():
            return [_clean(each) for each in value]
        case dict():
            return {_clean(name): _clean(each) for name, each in value.items()}
    return value
