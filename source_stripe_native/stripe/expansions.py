"""Expansions: fields that Stripe returns only when a request asks for them. Pure.

A row names them (`EXPANSIONS`). A list is asked for `data.X`, a single object for `X`; Stripe goes four
levels deep at most. An expansion adds a field and changes none: the documents of a collection keep their
shape.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from source_stripe_native.streams.row import BaseStripeObject, Expansion
from source_stripe_native.stripe.wire import Json

PARAM: Final = "expand[]"
LEVELS: Final = 4
"""How deep Stripe expands, the list's `data` included."""


def object_params(stream: type[BaseStripeObject]) -> list[tuple[str, str]]:
    """The query parameters by which a single object has the row's expansions."""
    return [(PARAM, each.path) for each in stream.EXPANSIONS if "*" not in each.path]


def embedded_params(stream: type[BaseStripeObject]) -> list[tuple[str, str]]:
    """The query parameters by which a list of parents shows the stream's objects, with their expansions."""
    if not stream.EMBEDDED_EXPANDED:
        return []
    if not stream.EMBEDDED:
        return [(PARAM, f"data.{stream.PARENT_ITEMS}")]
    return [(PARAM, f"data.{stream.EMBEDDED}"), *list_params(stream, f"{stream.EMBEDDED}.data.")]


def list_params(stream: type[BaseStripeObject], prefix: str = "") -> list[tuple[str, str]]:
    """The query parameters by which a list's objects have the row's expansions. `prefix` is where the objects
    are inside the list's own, as in `line_items.data.`. What is too deep for a list is left out."""
    paths = (f"data.{prefix}{each.path}" for each in stream.EXPANSIONS if "*" not in each.path)
    return [(PARAM, path) for path in paths if path.count(".") < LEVELS]


def may_have(found: Json, expansion: Expansion) -> bool:
    """Whether the object may have the field that the expansion adds."""
    if not expansion.when:
        return True
    values = [value for path in expansion.when for value in values_at(found, path)]
    if expansion.when_value:
        return expansion.when_value in values
    return any(values)


def missing_owners(found: Json, stream: type[BaseStripeObject]) -> Iterator[tuple[Json, str, list[str]]]:
    """The objects inside the document that lack fields of the row's expansions: each with the path at which
    it is read by its id, and the names of the fields that it lacks."""
    lacking: dict[tuple[str, str], list[str]] = {}
    for each in stream.EXPANSIONS:
        if each.owner and may_have(found, each):
            lacking.setdefault((each.owner, each.owner_path), []).append(
                each.path.removeprefix(f"{each.owner}.")
            )
    for (place, path), names in lacking.items():
        for owner in values_at(found, place):
            absent = [name for name in names if isinstance(owner, dict) and name not in owner]
            if absent and isinstance(owner.get("id"), str):
                yield owner, path, absent


def has_maps(stream: type[BaseStripeObject]) -> bool:
    """Whether the row has expansions inside a map."""
    return any(".*." in expansion.path for expansion in stream.EXPANSIONS)


def keyed_list_params(paths: Iterable[str]) -> list[tuple[str, str]]:
    """The query parameters by which a list's objects have the fields at `keyed_paths`."""
    return [(PARAM, f"data.{path}") for path in paths if path.count(".") < LEVELS - 1]


def keyed_paths(found: Json, stream: type[BaseStripeObject]) -> list[str]:
    """The paths of the row's expansions with `*` that the object lacks, each key of its map in the place of
    the star."""
    paths = []
    for expansion in stream.EXPANSIONS:
        head, star, tail = expansion.path.partition(".*.")
        if star and may_have(found, expansion):
            maps = [each for each in values_at(found, head) if isinstance(each, dict)]
            paths += [
                f"{head}.{key}.{tail}" for each in maps for key, inside in each.items() if tail not in inside
            ]
    return paths


def values_at(found: Any, path: str) -> Iterator[Any]:
    """The values at a path with dots; `*` stands for every element of a list. Nothing where there is none."""
    name, _, rest = path.partition(".")
    if name == "*" and isinstance(found, list):
        inside = found
    elif isinstance(found, dict) and name in found:
        inside = [found[name]]
    else:
        return
    for each in inside:
        if rest:
            yield from values_at(each, rest)
        else:
            yield each
