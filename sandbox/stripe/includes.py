"""Fields that a response lacks unless a request asks for them: apart from the rest of their object, and back.

A path has its names with dots; `*` stands for any name. Pure: no argument is changed.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sandbox.stripe.filters import Json
from sandbox.stripe.kind import merge

Path = tuple[str, ...]


def split(data: Json, paths: Sequence[Path]) -> tuple[Json, Json]:
    """What an object shows, and what it shows only when asked: each in its place."""
    hidden: Json = {}
    for path in paths:
        data, part = _take(data, path)
        if part is not None:
            hidden = merge(hidden, part)
    return data, hidden


def _take(node: Any, path: Path) -> tuple[Any, Json | None]:
    name, *rest = path
    if not isinstance(node, dict) or name not in node:
        return node, None
    if not rest:
        return {key: value for key, value in node.items() if key != name}, {name: node[name]}
    inner, part = _take(node[name], tuple(rest))
    return (node, None) if part is None else (node | {name: inner}, {name: part})


def asked_for(hidden: Json, paths: Sequence[str], asked: Collection[Path]) -> Json:
    """The part of the hidden fields that `asked` names. A field inside another one is asked for by itself.
    The outer one comes along."""
    patterns = [tuple(path.split(".")) for path in paths]

    def only(node: Json, place: Path, inside: bool) -> Json:
        kept: Json = {}
        for name, value in node.items():
            path = (*place, name)
            field = any(fits(path, pattern) for pattern in patterns)
            if field and not any(each[: len(path)] == path for each in asked):
                continue
            part = only(value, path, inside or field) if isinstance(value, dict) else value
            if part or inside or field:
                kept[name] = part
        return kept

    return only(hidden, (), False)


def fits(path: Path, pattern: Path) -> bool:
    return len(path) == len(pattern) and all(
        wanted in ("*", name) for name, wanted in zip(path, pattern, strict=True)
    )
