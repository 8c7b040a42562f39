"""Expansions: fields that Stripe returns only when a request asks for them, and what it refuses to be asked.

A row names them (`EXPANSIONS`). A list is asked for `data.X`, a single object for `X`; Stripe goes four
levels deep at most. An expansion adds a field and changes none: the documents of a collection keep their
shape.

A restricted key may lack the permission for an expanded object, and an old API version may not know a field
or a filter. Neither may end a capture: the documents then lack the field, or the list is filtered here, with
one warning.

Rule: a parameter is blamed (see `source`) only where the same request without it is answered, and only by
Stripe's own words about it: what fails for a passing reason leaves nothing out. The parameters that select a
parent or a page are never left out, since other objects would be read without them. What one connected
account refuses to expand is left out for that account alone; what the key's own account refuses, for all. An
expansion that lacks a permission is tried again from time to time, since the permission may be granted.
"""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from source_stripe_native.streams.paths import endpoint_of
from source_stripe_native.streams.row import BaseStripeObject, Expansion
from source_stripe_native.stripe.wire import Json, Params

PARAM: Final = "expand[]"
LEVELS: Final = 4
"""How deep Stripe expands, the list's `data` included."""


def object_params(stream: type[BaseStripeObject]) -> list[tuple[str, str]]:
    """The query parameters by which a single object has the row's expansions, and what has to be included."""
    expanded = [(PARAM, each.path) for each in stream.EXPANSIONS if "*" not in each.path]
    return expanded + [(f"include[{place}]", field) for place, field in enumerate(stream.INCLUDES)]


def embedded_params(stream: type[BaseStripeObject]) -> list[tuple[str, str]]:
    """The query parameters by which a list of parents shows the stream's objects, with their expansions."""
    if not stream.EMBEDDED_EXPANDED:
        return []
    if not stream.EMBEDDED:
        return [(PARAM, f"data.{stream.PARENT_ITEMS}")]
    return [(PARAM, f"data.{stream.EMBEDDED}"), *list_params(stream, f"{stream.EMBEDDED}.data.")]


def parent_params(stream: type[BaseStripeObject]) -> list[tuple[str, str]]:
    """The query parameters by which a single parent shows the items under which children are listed. A list
    of children inside it is not asked for: it is read by itself."""
    return [(PARAM, stream.PARENT_ITEMS)] if stream.EMBEDDED_EXPANDED and stream.PARENT_ITEMS else []


def list_params(stream: type[BaseStripeObject], prefix: str = "") -> list[tuple[str, str]]:
    """The query parameters by which a list's objects have the row's expansions. `prefix` is where the objects
    are inside the list's own, as in `line_items.data.`. What is too deep for a list is left out, and what a
    list cannot include."""
    if stream.INCLUDES:
        return object_params(stream) if stream.LISTS_INCLUDED else []
    paths = (f"data.{prefix}{each.path}" for each in stream.EXPANSIONS if "*" not in each.path)
    return [(PARAM, path) for path in paths if path.count(".") < LEVELS]


def may_have(obj: Json, expansion: Expansion) -> bool:
    """Whether the object may have the field that the expansion adds."""
    if not expansion.when:
        return True
    values = [value for path in expansion.when for value in values_at(obj, path)]
    if expansion.when_value:
        return expansion.when_value in values
    return any(values)


def missing_owners(obj: Json, stream: type[BaseStripeObject]) -> Iterator[tuple[Json, str, list[str]]]:
    """The objects inside the document that lack fields of the row's expansions: each with the path at which
    it is read by its id, and the names of the fields that it lacks."""
    lacking = defaultdict[tuple[str, str], list[str]](list)
    for row in stream.EXPANSIONS:
        if row.owner and may_have(obj, row):
            lacking[row.owner, row.owner_path].append(row.path.removeprefix(f"{row.owner}."))
    for (place, path), names in lacking.items():
        for owner in values_at(obj, place):
            absent = [name for name in names if isinstance(owner, dict) and name not in owner]
            if absent and isinstance(owner.get("id"), str):
                yield owner, path, absent


def keyed_list_params(paths: Iterable[str]) -> list[tuple[str, str]]:
    """The query parameters by which a list's objects have the fields at `keyed_paths`."""
    return [(PARAM, f"data.{path}") for path in paths if path.count(".") < LEVELS - 1]


def keyed_paths(obj: Json, stream: type[BaseStripeObject]) -> list[str]:
    """The paths of the row's expansions with `*` that the object lacks, each key of its map in the place of
    the star."""
    paths = []
    for expansion in stream.EXPANSIONS:
        head, star, tail = expansion.path.partition(".*.")
        if star and may_have(obj, expansion):
            maps = [value.items() for value in values_at(obj, head) if isinstance(value, dict)]
            paths += [f"{head}.{key}.{tail}" for items in maps for key, inside in items if tail not in inside]
    return paths


def values_at(value: Any, path: str) -> Iterator[Any]:
    """The values at a path with dots; `*` stands for every element of a list. Nothing where there is none."""
    name, _, rest = path.partition(".")
    if name == "*" and isinstance(value, list):
        inside = value
    elif isinstance(value, dict) and name in value:
        inside = [value[name]]
    else:
        return
    for element in inside:
        if rest:
            yield from values_at(element, rest)
        else:
            yield element


class RefusedParams:
    """The filters and expansions that Stripe has refused, which are left out from then on. What lacks a
    permission is left out for `retention` seconds of the monotonic clock `now`."""

    def __init__(self, retention: float, now: Callable[[], float] = time.monotonic) -> None:
        self._retention = retention
        self._now = now
        self._refused: dict[tuple[str | None, str], dict[str, float]] = {}
        """Until when names of filters and paths of expansions are left out, by the account acted as (None for
        the key's own) and endpoint."""
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def lock(self, path: str) -> asyncio.Lock:
        """Held while a parameter is blamed: of requests that fail side by side one finds out and warns."""
        return self._locks[endpoint_of(path)]

    def kept(self, account_id: str | None, path: str, params: Params) -> Params:
        """`params` without those that Stripe refuses at `path` when acting as the account."""
        if not self._refused:
            return params
        endpoint, now = endpoint_of(path), self._now()
        until = self._refused.get((None, endpoint), {}) | self._refused.get((account_id, endpoint), {})
        return [
            (name, value)
            for name, value in params
            if until.get(value if name == PARAM else base_of(name), -math.inf) <= now
        ]

    def filters_by_time(self, stream: type[BaseStripeObject]) -> bool:
        """Whether Stripe filters the stream's list by the time of creation, as far as is known."""
        refused = self._refused.get((None, endpoint_of(stream.list_path())), {})
        return refused.keys().isdisjoint(stream.CREATED_IN.names())

    def add(self, account_id: str | None, path: str, params: Mapping[str, bool]) -> bool:
        """Leaves parameters out from now on; what is said to lack a permission, for the retention. Returns
        whether any of them is new."""
        known = self._refused.setdefault((account_id, endpoint_of(path)), {})
        is_new = not params.keys() <= known.keys()
        again = self._now() + self._retention
        known.update({name: again if lacks else math.inf for name, lacks in params.items()})
        return is_new


def base_of(name: str) -> str:
    """The name of a parameter without the keys inside it."""
    return name.partition("[")[0]
