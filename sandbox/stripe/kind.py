"""What a row of the resource table can say, and what follows from a row alone. Nothing here knows a resource
by name.

A row is the whole of a resource: its paths and parameters, its fields, its place under a parent, the events
of its changes. A resource that needs code gets a function in its row, never a branch elsewhere."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from sandbox.stripe.errors import StripeError
from sandbox.stripe.filters import Filter, Json, Read, created

ABSENT = object()
"""A field's value that leaves the field out."""

DOCUMENTED = "?"
"""What a row has as Stripe's document gives it."""

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True)
class Draft:
    """An object being made. `built` holds the caller's fields and those of the template so far; `find` gives
    the id of an object of another kind to point to, making one if there is none; `show` gives that object."""

    id: str
    now: int
    account: str
    livemode: bool
    rng: Random
    built: Json
    find: Callable[[str], str]
    show: Callable[[str, str], Json]


def fill(template: Any, draft: Draft) -> Any:
    """A template's value: functions are called with the draft, dicts and lists are copied."""
    if callable(template):
        return template(draft)
    if isinstance(template, dict):
        return {key: fill(value, draft) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, draft) for value in template]
    return template


def merge(old: Any, new: Any) -> Any:
    """As Stripe updates: hashes field by field, anything else as a whole; ABSENT takes a field out. Neither
    argument is changed."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    merged = old | {key: merge(old.get(key), value) for key, value in new.items()}
    return {key: value for key, value in merged.items() if value is not ABSENT}


def previous(old: Json, new: Json) -> Json:
    """An event's `previous_attributes`: what the changed fields were, field by field for hashes."""
    changed: Json = {}
    for key in old.keys() | new.keys():
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        hashes = isinstance(before, dict) and isinstance(after, dict)
        changed[key] = previous(before or {}, after or {}) if hashes else before
    return changed


ANY = object()
"""Any value but null."""


@dataclass(frozen=True)
class Move:
    """A change of `field` to `to` that has an event type of its own; `when` narrows it by the old and the new
    object."""

    field: str
    to: Any
    event: str
    when: Callable[[Json, Json], bool] | None = None

    def made(self, old: Json, new: Json) -> bool:
        before, after = old.get(self.field), new.get(self.field)
        if before == after or (self.when and not self.when(old, new)):
            return False
        return after is not None if self.to is ANY else bool(after == self.to)


@dataclass(frozen=True)
class Events:
    """The event types of a kind's changes, "" for a change that makes none, several with spaces between. They
    may name fields: `charge.{status}`. A move's event comes in place of `updated`, or, if `always`, along
    with it. If `created` is "", a creation is a move from nothing; None for none at all.

    A row's types may leave out what they begin with: the object's name, or else `of`. `statuses` has those of
    moves to a status. What it does not say is as documented, moves to a status that has a type of its name,
    too."""

    of: str = ""
    statuses: Mapping[str, str] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()
    created: str | None = DOCUMENTED
    updated: str = DOCUMENTED
    deleted: str = DOCUMENTED
    always: bool = False

    def types(self, old: Json | None, new: Json | None) -> list[str]:
        """The types of a creation (`old` is None), an update or a deletion (`new` is None)."""
        if new is None:
            return self.deleted.format_map(old or {}).split()
        if old is None and self.created != "":
            return (self.created or "").format_map(new).split()
        types = [
            type
            for move in self.moves
            if move.made(old or {}, new)
            for type in move.event.format_map(new).split()
        ]
        if old is not None and (self.always or not types):
            types += self.updated.format_map(new).split()
        return types


@dataclass(frozen=True)
class Parent:
    """A child's link to its parent: the id is in `field`, or, where Stripe's object does not name its parent,
    only in the world (`named` False). `sets` gives what a new child changes in its parent. `refuses` is the
    error that a parent (with its number of children) answers with when its children are asked for."""

    kind: str
    field: str
    named: bool = True
    sets: Callable[[Json], Json] | None = None
    refuses: Callable[[Json, int], StripeError | None] | None = None
    alias: str = ""

    @property
    def argument(self) -> str:
        """What a new child's parent is called: the field, unless `account` would be another thing."""
        return self.alias or self.field


@dataclass(frozen=True)
class Nested:
    """Children shown inside their parent: the newest ten in a list object at `field` whose `url` (a template
    on `id`, by default below the parent's path) lists them all. `shown` False: only when expanded. `quiet`:
    what changes in them alone is no update of the parent; `announced`: in a world with effects neither, as
    their own events tell. `made` children come with a new parent. `totals` are fields of the parent that sum
    the children's amount, or else their field of the same name. `narrowed` are parameters of the children's
    own list: what that list hides without them is hidden here too."""

    kinds: tuple[str, ...]
    field: str
    url: str = ""
    shown: bool = True
    quiet: bool = False
    announced: bool = False
    made: int = 0
    totals: tuple[str, ...] = ()
    narrowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Holder:
    """An object whose place for others is the only one to find them in: one of `kinds`, the one that their
    `field` names. Its `place` has their ids, or, if `inline`, the newest of them whole. `quiet`: a change of
    the place makes no event of the holder; `announced`: in a world with effects neither, as their own events
    tell."""

    kinds: tuple[str, ...]
    field: str
    place: str
    inline: bool = False
    quiet: bool = False
    announced: bool = False


@dataclass(frozen=True)
class Effect:
    """What objects do to another one, of `kind`, whose id each has at the path `names`. `sets` gives fields
    of the other, from itself and from all objects that name it, oldest first. Their events announce the
    change: the other has none. So objects without events of their own have no effects."""

    kind: str
    names: str
    sets: Callable[[Json, list[Json]], Json]


@dataclass(frozen=True)
class Pull:
    """What a new object takes along: the objects of `kind` that have the same `by`, and null as `field`. They
    get its id there, and each makes it a child of the kind `child` with the fields of `shows`. They are
    released when it is deleted; those that were made with its id are deleted with it. Only its own events
    announce all that."""

    kind: str
    field: str
    by: str
    child: str
    shows: Callable[[Json], Json]


@dataclass(frozen=True)
class Kind:
    """A resource. What Stripe's document gives, a row leaves out (see `derived.py`): its `path`, the `ops`,
    letters of List, Create, Read, Update and Delete as far as the API has them at `path` and `path`/{id},
    most `fields`, the types of `events` that have the object's name, and those `filters` of its list that
    compare the field of their name. `actions` are further verbs after the id, and what they change.
    `permission` is the resource's name among those of restricted keys, by default its parent's if its path
    begins with that. `created` is the field with the
    creation time, "" if the object tells none. `needs` are parameters without which nothing is created,
    though the document calls them optional. `flow` gives the statuses that can follow each, the first of a
    new object first. `cancels` is what a deletion changes instead of removing the object ("now" is the
    time); `deletable` are the values that an object must have
    to be deleted; `stub` says that a deleted object still answers with a stub. `derive` sets fields that
    follow from others, at a time. `product` is the Stripe product that an account must be set up for.
    `paged` False: the list takes no `limit` and is whole. `gone_in` is the API version that removed the
    endpoints.

    `effects` and `pulls` change other objects; `shown_in` are the kinds that have its objects whole, as
    they are. `muted` tells of an object and the world's API version whether no event of its own announces
    its changes; `unreadable` is the error that an object answers with when it is asked for by its id.

    `includes` are the paths of the fields that a response lacks unless they are expanded (see `includes.py`).
    `holders` say whose such objects are, the first that applies, if they have no list of their own.
    `variants` are fields of rarer objects, for random changes; `tweaks` gives further edits that an object,
    with all its fields, could undergo."""

    name: str
    prefix: str
    path: str = DOCUMENTED
    ops: str = DOCUMENTED
    object: str = ""
    permission: str = ""
    created: str = DOCUMENTED
    filters: tuple[Filter, ...] = ()
    needs: tuple[str, ...] = ()
    parent: Parent | None = None
    nested: tuple[Nested, ...] = ()
    events: Events = Events()
    flow: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    actions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cancels: Mapping[str, Any] | None = None
    deletable: Mapping[str, Any] = field(default_factory=dict)
    stub: bool = False
    product: str = DOCUMENTED
    paged: bool = True
    derive: Callable[[Json, int], None] | None = None
    gone_in: str = ""
    effects: tuple[Effect, ...] = ()
    pulls: Pull | None = None
    shown_in: tuple[str, ...] = ()
    muted: Callable[[Json, str], bool] | None = None
    unreadable: Callable[[Json], StripeError | None] | None = None
    includes: tuple[str, ...] = ()
    holders: tuple[Holder, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    variants: tuple[Mapping[str, Any], ...] = ()
    tweaks: Callable[[Json, Random], list[Json]] | None = None

    @functools.cached_property
    def object_name(self) -> str:
        return self.object or self.name

    @functools.cached_property
    def readable_with(self) -> str:
        above = self.parent.kind if self.parent and "{" in self.path else self.object_name
        return self.permission or above.replace(".", "_")

    @functools.cached_property
    def reads(self) -> tuple[Read, ...]:
        """The distinct facets that its filters read."""
        return tuple(dict.fromkeys(f.read for f in self.filters if f is not created))

    @functools.cached_property
    def grouped(self) -> frozenset[int]:
        """The places of those facets that have a sorted list for each value."""
        return frozenset(self.reads.index(f.read) for f in self.filters if f.groups)

    @functools.cached_property
    def hides(self) -> tuple[tuple[str, ...], ...]:
        """The outermost paths of `includes`, name by name."""
        every = [tuple(path.split(".")) for path in self.includes]
        return tuple(path for path in every if not any(path[:end] in every for end in range(1, len(path))))

    @functools.cached_property
    def plain(self) -> list[tuple[str, Any]]:
        """The fields that are the same in every new object."""
        kinds = (str, int, float, type(None))
        return [(key, each) for key, each in self.fields.items() if isinstance(each, kinds)]

    @functools.cached_property
    def made(self) -> list[tuple[str, Any]]:
        """The fields that are made for each."""
        same = dict(self.plain)
        return [(key, each) for key, each in self.fields.items() if key not in same]

    def new_id(self, rng: Random) -> str:
        return f"{self.prefix}_1{''.join(rng.choices(ALPHABET, k=23))}"

    def build(self, draft: Draft) -> Json:
        """The whole object: the template, with the caller's fields (already in `draft.built`) merged over
        it."""
        built = draft.built
        for key, value in self.plain:
            built.setdefault(key, value)
        for key, template in self.made:
            if key not in built:
                built[key] = fill(template, draft)
            elif isinstance(built[key], dict):
                built[key] = merge(fill(template, draft) or {}, built[key])
        return {key: value for key, value in built.items() if value is not ABSENT}

    def allows_deletion(self, data: Json) -> bool:
        return all(data.get(name) == value for name, value in self.deletable.items())

    def edits(self, data: Json, rng: Random) -> list[Json]:
        """Changes that an object could undergo next, each of which Stripe tells by an event."""
        able: list[Json] = []
        if self.events.updated and "metadata" in data:
            able.append({"metadata": {"edit": str(rng.randrange(1000))}})
        if self.events.updated and isinstance(data.get("active"), bool):
            able.append({"active": not data["active"]})
        able += [{"status": status} for status in self.flow.get(str(data.get("status")), ())]
        if self.tweaks:
            able += self.tweaks(data, rng)
        for move in self.events.moves:
            if move.field != "status" and move.to is not ANY and data.get(move.field) != move.to:
                able.append({move.field: move.to})
        return able


@dataclass(frozen=True)
class View:
    """A second list of objects that have another home, such as all payment sources of a customer: `object=`
    chooses among several kinds."""

    path: str
    kinds: tuple[str, ...]
    filters: tuple[Filter, ...] = ()
    parent: str = ""
    ops: str = DOCUMENTED
