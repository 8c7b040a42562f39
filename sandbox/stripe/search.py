"""Stripe's search query language, as in `email:"ada@example.com" AND -metadata["plan"]:"free"`.

A pure function of a query and an object. Source: Stripe's page "Search".
"""

import re
from collections.abc import Callable
from typing import Any, Final

from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Json, as_text, at

_CLAUSE: Final = re.compile(
    r"""\s*(?P<not>-?)(?P<field>[\w.]+)(?:\[["'](?P<key>[^"']+)["']\])?\s*(?P<sign>:|~|>=|<=|>|<|=)\s*"""
    r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[\w.-]+))\s*(?P<join>AND|OR|and|or|$)"""
)
_SIGNS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">": lambda value, bound: value > bound,
    "<": lambda value, bound: value < bound,
    ">=": lambda value, bound: value >= bound,
    "<=": lambda value, bound: value <= bound,
}

Test = Callable[[Json], bool]


def test_of(query: str) -> Test:
    """What tells whether an object is found. Raises StripeError for a query that is none."""
    tests, joins, place = list[Test](), set[str](), 0
    while place < len(query) or not tests:
        found = _CLAUSE.match(query, place)
        if found is None or (found["join"] and found.end() >= len(query.rstrip())):
            raise _wrong(query)
        tests.append(_clause(found))
        joins |= {found["join"].upper()} - {""}
        place = found.end()
    if len(joins) > 1:
        raise _wrong(query)
    whole = any if joins == {"OR"} else all
    return lambda data: whole(test(data) for test in tests)


def _wrong(query: str) -> StripeError:
    return StripeError(400, f"We were unable to parse your search query: {query}", param="query")


def _clause(found: re.Match[str]) -> Test:
    read, key, sign = at(found["field"]), found["key"], found["sign"]
    wanted = next(each for each in (found["double"], found["single"], found["bare"], "") if each is not None)

    def holds(value: Any) -> bool:
        if found["bare"] == "null":
            return value is None
        if sign in _SIGNS:
            return isinstance(value, int | float) and _SIGNS[sign](value, float(wanted))
        text = (as_text(value) or "").lower()
        return wanted.lower() in text if sign == "~" else text == wanted.lower()

    def test(data: Json) -> bool:
        value = read(data)
        value = (value or {}).get(key) if key else value
        return holds(value) != bool(found["not"])

    return test
