"""The objects of one kind in one account, kept ready to be listed: sorted, grouped, serialized.

An object's bytes are the truth and the only copy. Lists are in ascending order of (created, sequence), so
that a new object is an append."""

from bisect import bisect_left, insort
from collections.abc import Hashable
from operator import attrgetter
from typing import Any

import orjson

from sandbox.stripe.filters import Json
from sandbox.stripe.kind import Kind, merge

Key = tuple[int, int]
"""(created in Unix seconds, sequence number in the world)"""

key_of = attrgetter("key")


class Entry:
    """A stored object. `parent` is its parent's id; `listed` False keeps it out of every list; `hidden` says
    that requests do not find it yet. `apart` has the fields that are shown only when asked for, each in its
    place. It is None if there are none."""

    __slots__ = ("apart", "body", "facets", "hidden", "id", "key", "kind", "listed", "parent")

    def __init__(
        self,
        kind: Kind,
        id: str,
        key: Key,
        body: bytes,
        facets: tuple[Any, ...],
        parent: str | None,
        listed: bool,
        hidden: bool = False,
        apart: bytes | None = None,
    ) -> None:
        self.kind = kind
        self.id = id
        self.key = key
        self.body = body
        self.facets = facets
        self.parent = parent
        self.listed = listed
        self.hidden = hidden
        self.apart = apart

    def whole(self) -> Json:
        """With the fields that are shown only when asked for."""
        return self.data() if self.apart is None else merge(self.data(), orjson.loads(self.apart))

    def data(self) -> Json:
        loaded: Json = orjson.loads(self.body)
        return loaded


class Table:
    """`stubs` are what deleted objects still answer with, by id."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.by_id: dict[str, Entry] = {}
        self.order: list[Entry] = []
        self.groups: dict[int, dict[Hashable, list[Entry]]] = {place: {} for place in kind.grouped}
        self.children: dict[str, list[Entry]] = {}
        self.stubs: dict[str, bytes] = {}

    def find(self, id: str) -> Entry | None:
        """The object as requests find it: None if there is none, or if it is still hidden."""
        entry = self.by_id.get(id)
        return None if entry is None or entry.hidden else entry

    def put(self, entry: Entry) -> None:
        """Store an object, in place of the one with its id if there is one."""
        old = self.by_id.get(entry.id)
        self.by_id[entry.id] = entry
        was, now = old is not None and old.listed, entry.listed
        if (
            was
            and now
            and old
            and (old.key, old.facets, old.parent) == (entry.key, entry.facets, entry.parent)
        ):
            for entries in self._lists(old):
                entries[bisect_left(entries, entry.key, key=key_of)] = entry
            return
        if was and old:
            self._unlist(old)
        if now:
            for entries in self._lists(entry):
                if not entries or entries[-1].key < entry.key:
                    entries.append(entry)
                else:
                    insort(entries, entry, key=key_of)

    def remove(self, id: str) -> Entry:
        entry = self.by_id.pop(id)
        if entry.listed:
            self._unlist(entry)
        return entry

    def _unlist(self, entry: Entry) -> None:
        for entries in self._lists(entry):
            del entries[bisect_left(entries, entry.key, key=key_of)]

    def _lists(self, entry: Entry) -> list[list[Entry]]:
        lists = [self.order]
        lists += [group.setdefault(entry.facets[place], []) for place, group in self.groups.items()]
        if entry.parent is not None:
            lists.append(self.children.setdefault(entry.parent, []))
        return lists
