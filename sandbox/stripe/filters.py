"""List parameters as data: what each reads from an object, and how a request's value tests it.

What a filter reads (a facet) is taken once, when an object is stored, so that a list never parses an object.
"""

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sandbox.stripe import errors

Json = dict[str, Any]
Facet = Any
Read = Callable[[Json], Facet]

Given = Sequence[tuple[str | None, str]]
"""What a request gives for one parameter: `active=true` is (None, "true"), `created[gte]=5` is ("gte", "5"),
`types[]=a` is ("", "a"), `types[0]=a` is ("0", "a")."""


@dataclass(frozen=True)
class Match:
    """A test of a facet. `values`, where known, are the only facets that can pass: an index is used for
    them."""

    accepts: Callable[[Facet], bool]
    values: tuple[Hashable, ...] | None = None


@dataclass(frozen=True)
class Asked:
    """What a filter may look at beyond its own parameter: the names of those given, and the world's
    settings."""

    names: frozenset[str]
    bare_prices: str


@dataclass(frozen=True)
class Filter:
    """One list parameter. `parse` raises StripeError for a bad value and returns None for one that hides
    nothing; `unasked` is what the list hides when the parameter is absent. `groups` keeps a sorted list per
    facet value."""

    param: str
    read: Read
    parse: Callable[[str, Given], Match | None]
    unasked: Callable[[Asked], Match | None] | None = None
    required: bool = False
    groups: bool = False


@functools.cache
def at(path: str) -> Read:
    """The value at a dotted path, None where there is none. The same path is always the same function."""
    keys = path.split(".")

    def read(data: Json) -> Facet:
        value: Any = data
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    return read


def only(value: Hashable) -> Match:
    return Match(lambda facet: facet == value, (value,))


def single(param: str, given: Given, what: str = "string") -> str:
    """The one plain value of a parameter. Raises StripeError for an array or a hash."""
    sub, value = given[-1]
    if sub is not None or len(given) > 1:
        raise errors.invalid(what, "{" + ", ".join(f"{s}={v}" for s, v in given) + "}", param)
    return value


def integer(param: str, text: str) -> int:
    if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit():
        raise errors.invalid("integer", text, param)
    return int(text)


def boolean(param: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise errors.invalid("boolean", text, param)
    return text == "true"


def array(param: str, given: Given) -> list[str]:
    if any(sub is None or not (sub == "" or sub.isdigit()) for sub, _ in given):
        raise errors.invalid("array", given[0][1], param)
    return [value for _, value in given]


def equals(param: str, path: str | None = None, *, required: bool = False) -> Filter:
    """`customer=cus_...`: the string at `path` (by default of the parameter's name) is the value."""
    return Filter(
        param, at(path or param), lambda p, given: only(single(p, given)), required=required, groups=True
    )


def one_of(param: str, *choices: str, path: str | None = None) -> Filter:
    """As `equals`, where Stripe knows the possible values and refuses others."""

    def parse(param: str, given: Given) -> Match:
        value = single(param, given)
        if value not in choices:
            raise errors.no_choice(param, choices)
        return only(value)

    return Filter(param, at(path or param), parse, groups=True)


def flag(param: str, path: str | None = None) -> Filter:
    """`active=true`"""
    return Filter(
        param, at(path or param), lambda p, given: only(boolean(p, single(p, given, "boolean"))), groups=True
    )


def bounds(param: str, given: Given) -> tuple[int | None, int | None]:
    """The least and the greatest number that `param=N` or `param[gte]=N&param[lt]=M` lets pass."""
    low: int | None = None
    high: int | None = None
    for sub, text in given:
        number = integer(f"{param}[{sub}]" if sub else param, text)
        match sub:
            case None:
                low = high = number
            case "gte" | "gt":
                number += sub == "gt"
                low = number if low is None else max(low, number)
            case "lte" | "lt":
                number -= sub == "lt"
                high = number if high is None else min(high, number)
            case _:
                raise errors.unknown_parameters([f"{param}[{sub}]"])
    return low, high


def between(param: str, path: str | None = None) -> Filter:
    """`arrival_date[gte]=N`: a number within bounds; objects without the number do not pass."""

    def parse(param: str, given: Given) -> Match:
        low, high = bounds(param, given)

        def accepts(facet: Facet) -> bool:
            return facet is not None and (low is None or facet >= low) and (high is None or facet <= high)

        return Match(accepts)

    return Filter(param, at(path or param), parse)


def any_of(param: str, path: str, *, at_most: int | None = None, wild: bool = False) -> Filter:
    """`lookup_keys[]=a&lookup_keys[]=b`. More than `at_most` values are refused. `wild`: they may end in
    `*`."""

    def parse(param: str, given: Given) -> Match:
        values = array(param, given)
        if at_most is not None and len(values) > at_most:
            raise errors.StripeError(
                400, f"Array exceeds maximum length of {at_most} elements: {len(values)} given", param=param
            )
        return union(values) if wild else Match(set(values).__contains__, tuple(dict.fromkeys(values)))

    return Filter(param, at(path), parse, groups=True)


def union(values: Sequence[str]) -> Match:
    """One of `values`, each of which may end in `*`."""
    exact = frozenset(value for value in values if not value.endswith("*"))
    starts = tuple(value[:-1] for value in values if value.endswith("*"))
    if not starts:
        return Match(lambda facet: facet in exact, tuple(sorted(exact)))
    return Match(lambda facet: facet is not None and (facet in exact or facet.startswith(starts)))


def part_of(param: str, path: str | None = None, *parts: str) -> Filter:
    """`recurring[interval]=month`: of the object at `path`, each part given has the value given."""
    names = parts
    reads = [at(f"{path or param}.{name}") for name in names]

    def read(data: Json) -> Facet:
        return tuple(read(data) for read in reads)

    def parse(param: str, given: Given) -> Match:
        wanted: list[tuple[int, str]] = []
        for sub, value in given:
            if sub not in names:
                raise errors.unknown_parameters([f"{param}[{sub}]" if sub else param])
            wanted.append((names.index(sub), value))

        def accepts(facet: Facet) -> bool:
            return all(as_text(facet[place]) == value for place, value in wanted)

        return Match(accepts)

    return Filter(param, read, parse)


def as_text(value: Any) -> str | None:
    """A scalar as it stands in a query string."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def where(
    param: str, read: str | Read, accepts: Callable[[Any, Facet], bool], type: str = "string", **more: Any
) -> Filter:
    """A test of a value's own: by the parameter's value and the facet, at a path if that is given."""
    parsers: Mapping[str, Callable[[str, str], Any]] = {"boolean": boolean, "integer": integer}

    def parse(param: str, given: Given) -> Match:
        text = single(param, given, type)
        value = parsers[type](param, text) if type in parsers else text
        return Match(lambda facet: accepts(value, facet))

    return Filter(param, at(read) if isinstance(read, str) else read, parse, **more)


def ignored(param: str, *, required: bool = False) -> Filter:
    """A parameter that hides nothing."""
    return Filter(param, at(param), lambda _param, _given: None, required=required)


created = Filter("created", at("created"), lambda _param, _given: None)
"""Handled by the list itself, which is sorted by it."""


PAGING = frozenset(("limit", "starting_after", "ending_before", "expand"))


def documented(query: Mapping[str, Any]) -> tuple[Filter, ...]:
    """The filters that the types of a list's parameters give: each reads the field of its name."""
    types = {name.rstrip("!"): (type, name.endswith("!")) for name, type in query.items()}
    made = (_typed(name, *given) for name, given in types.items() if name not in PAGING | {"include"})
    return tuple(each for each in made if each is not None)


def _typed(name: str, type: Any, required: bool) -> Filter | None:
    if name == "created":
        return created
    if type == "boolean":
        return flag(name)
    if type == "string":
        return equals(name, required=required)
    if not isinstance(type, dict):
        return None
    if "=" in type:
        return replace(one_of(name, *type["="]), required=required)
    if "|" in type:
        return between(name)
    return part_of(name, None, *(each.rstrip("!") for each in type))
