"""Expansions: `expand[]=customer` on an object, `expand[]=data.customer` on a list.

A request's paths are checked before any object is read, so that an empty list refuses what a full one would.
Then each object is opened along the paths: an id becomes its object, a field that is hidden by default is
shown.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from sandbox.stripe import errors
from sandbox.stripe.facts import places
from sandbox.stripe.filters import Json
from sandbox.stripe.includes import Path, asked_for, fits
from sandbox.stripe.kind import Kind, merge
from sandbox.stripe.kinds import KINDS, older
from sandbox.stripe.table import Entry
from sandbox.stripe.world import World

LEVELS = 4
"""How deep a path may go, the `data` of a list included. Source: Stripe's page "Expanding responses"."""

Tree = dict[str, Any]
"""Paths by their names: {"items": {"data": {"discounts": {}}}}."""

Permit = Callable[[Kind], None]
"""Raises StripeError unless the caller may read objects of a kind."""


@functools.cache
def _rows(object_name: str) -> tuple[Kind, ...]:
    """The kinds whose objects have this name."""
    return tuple(row for row in KINDS.values() if row.object_name == object_name)


@functools.cache
def _includes(object_name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for row in _rows(object_name) for path in row.includes))


@dataclass(frozen=True)
class Asker:
    """Who asks: in which API version, for whose objects, and what the key may read. `since` are the versions
    that made fields expandable, where the world has some."""

    version: str
    home: str
    permit: Permit
    since: Mapping[str, str]


def tree_of(paths: Sequence[str], object_names: Sequence[str], asker: Asker, *, listed: bool) -> Tree:
    """The paths of a request about such objects. Raises StripeError for one that is too deep, that leads
    nowhere, or to objects that the key may not read. A list's `data` is left out of the tree."""
    tree: Tree = {}
    for text in paths:
        path = tuple(text.split("."))
        if len(path) > LEVELS:
            raise errors.too_deep(text)
        inner = path[1:] if listed else path
        if listed and (path[0] != "data" or not inner):
            known = _leads(path, object_names, asker)
            raise errors.not_expandable(text, f"data.{text}" if known else "")
        if not _leads(inner, object_names, asker):
            raise errors.not_expandable(text)
        place = tree
        for name in inner:
            place = place.setdefault(name, {})
    return tree


def _leads(path: Path, object_names: Sequence[str], asker: Asker) -> bool:
    """Whether a path leads to something that can be expanded."""
    for name in object_names:
        for end in range(1, len(path) + 1):
            targets = _targets(name, path[:end], asker)
            if targets is not None and (end == len(path) or _leads(path[end:], targets, asker)):
                return True
    return False


def _targets(name: str, path: Path, asker: Asker) -> tuple[str, ...] | None:
    """The names of the objects at a path in an object. There are none at a field without objects. None stands
    for a path that cannot be expanded. Raises StripeError if the key may not read the objects."""
    fields = [field for field in _includes(name) if _begins(path, field)]
    if any(asker.version < asker.since.get(f"{name}.{field}", "") for field in fields):
        return None
    for kind in _children(name, fields):
        asker.permit(kind)
    if (targets := _ids(name, asker.version).get(path)) is not None:
        # What a field of several kinds holds is known only when it is opened.
        for row in _rows(targets[0]) if len(targets) == 1 else ():
            asker.permit(row)
        return targets
    if (targets := places(name).inline.get(path)) is not None:
        return targets
    field = any(len(path) == len(each.split(".")) for each in fields)
    return () if field or (*path, "data") in places(name).inline else None


def _begins(path: Path, field: str) -> bool:
    """Whether a path leads to an includable field, or into one."""
    pattern = tuple(field.split("."))
    return fits(path[: len(pattern)], pattern)


def _children(name: str, fields: Sequence[str]) -> list[Kind]:
    """The kinds whose objects are in hidden lists."""
    nested = [each for row in _rows(name) for each in row.nested if each.field in fields]
    return [KINDS[kind] for each in nested for kind in each.kinds]


@functools.cache
def _ids(name: str, version: str) -> dict[Path, tuple[str, ...]]:
    """The names of the objects at each path where there is an id."""
    return {**places(name).ids, **older.ids(name, version)}


@functools.cache
def _always(kind: str, version: str) -> tuple[str, ...]:
    return older.shown(kind, version)


@functools.cache
def as_stored(kind: str, version: str) -> bool:
    """Whether objects of a kind, without expansions, are answered as they are stored."""
    return not _always(kind, version) and not older.differs(kind, version)


class Expander:
    """Opens the objects of one answer along the paths of `tree`."""

    def __init__(self, world: World, asker: Asker, tree: Tree) -> None:
        self._world = world
        self._asker = asker
        self._tree = tree

    def shown(self, entry: Entry) -> bytes:
        """An object as it is answered: expanded, and as the version asked for shows it."""
        if not self._tree and as_stored(entry.kind.name, self._asker.version):
            return entry.body
        return orjson.dumps(self._opened(entry, self._tree))

    def _opened(self, entry: Entry, tree: Tree) -> Json:
        row, version = entry.kind, self._asker.version
        data = entry.data()
        if older.differs(row.name, version):
            data = older.rendered(row.name, data, version, self._world.look(self._home(row)))
        self._open(row.object_name, entry, data, {name: {} for name in _always(row.name, version)} | tree)
        return data

    def _open(self, name: str, entry: Entry | None, data: Json, tree: Tree) -> None:
        """Expand an object in place. `entry` has what the object does not show, if the world knows it."""
        if entry is not None and tree:
            row = entry.kind
            if entry.apart is not None:
                hidden = asked_for(orjson.loads(entry.apart), row.includes, list(_leaves(tree)))
                data.update(merge(data, hidden))
            for nested in row.nested:
                *way, last = nested.field.split(".")
                holder, asked = data, tree
                for step in way:
                    holder, asked = holder.setdefault(step, {}), asked.get(step, {})
                if not nested.shown and last in asked and nested.field in row.includes:
                    holder[last] = self._world.nested(nested, entry.id, self._asker.home)
        self._walk(name, (), data, tree)

    def _walk(self, name: str, place: Path, node: Json, tree: Tree) -> None:
        for key, below in tree.items():
            if key in node:
                node[key] = self._step(name, (*place, key), node[key], below)

    def _step(self, name: str, path: Path, value: Any, below: Tree) -> Any:
        """What is at a path of an object, expanded."""
        if isinstance(value, list):
            return [self._step(name, path, each, below) for each in value]
        if isinstance(value, str):
            return self._pointed(value, _ids(name, self._asker.version).get(path, ()), below)
        if isinstance(value, dict):
            if path in places(name).inline or "object" in value:
                inner = str(value["object"])
                self._open(inner, self._find((inner,), str(value.get("id"))), value, below)
            else:
                self._walk(name, path, value, below)
        return value

    def _pointed(self, id: str, targets: Sequence[str], below: Tree) -> Any:
        """The object that an id names, or what a deleted one leaves; the id, if the world has neither."""
        entry = self._find(targets, id)
        if entry is not None:
            self._asker.permit(entry.kind)
            return self._opened(entry, below)
        for target in targets:
            for row in _rows(target):
                stub = self._world.table(row.name, self._home(row)).stubs.get(id)
                if stub is not None:
                    return orjson.loads(stub)
        return id

    def _find(self, targets: Sequence[str], id: str) -> Entry | None:
        for target in targets:
            for row in _rows(target):
                entry = self._world.table(row.name, self._home(row)).by_id.get(id)
                if entry is not None:
                    return entry
        return None

    def _home(self, row: Kind) -> str:
        return self._world.platform if row.name == "account" else self._asker.home


def _leaves(tree: Tree, place: Path = ()) -> Iterator[Path]:
    for name, below in tree.items():
        if below:
            yield from _leaves(below, (*place, name))
        yield (*place, name)


def expanded(world: World, kind: str, id: str, *paths: str, account: str | None = None) -> Json:
    """An object as Stripe answers when these paths are expanded, for a key that may read all: what a test
    compares with. Raises StripeError for a path that cannot be expanded, KeyError for an unknown object."""
    row = KINDS[kind]
    home = world.platform if kind == "account" else account or world.platform
    asker = Asker(world.api_version, home, lambda _row: None, world.expandable_since)
    tree = tree_of(paths, (row.object_name,), asker, listed=False)
    shown: Json = orjson.loads(Expander(world, asker, tree).shown(world.table(kind, home).by_id[id]))
    return shown
