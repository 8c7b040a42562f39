"""The memory of lists that are compared as a whole: which objects of a stream and account have been captured.

Rule: a version is remembered in the checkpoint that carries its document. What a backfill or an event
captures is remembered with its version unknown, before its document counts. After a kill in between the
object is captured once more.

Of streams whose lists show deletions (`SHOWS_DELETIONS`) the memory is in the state as well, so that it
outlives the process. So are the days that due_days.py remembers here. A list of more than
`Settings.remembered_of_list` objects is not, nor what exceeds `Settings.remembered_objects` in all: a
deletion is then found only while the process lasts. The lists that are not in the state have
`Settings.remembered_bytes` in memory. Beyond that the lists are forgotten that were read the longest ago. Of
a list that is larger alone, some objects are not remembered, and are captured at each reading. One warning
for each stream says so, however many accounts have such a list.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from source_stripe_native.protocols import WriteEntries
from source_stripe_native.state.remembered_lists import Listed, entry_key, to_entry
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.pages import Source

UNKNOWN: Final = b""
ENTRY_BYTES: Final = 300
"""Bytes that an object takes in memory, about, beside its identity and the text of its keys."""


@dataclass
class _Memory:
    """What is remembered of one list, by the objects' identity, and the bytes that it takes."""

    objects: dict[str, Listed] = field(default_factory=dict)
    size: int = 0
    in_state: bool = False

    def change(self, identity: str, listed: Listed | None) -> None:
        if (before := self.objects.pop(identity, None)) is not None:
            self.size -= _size(identity, before)
        if listed is not None:
            self.objects[identity] = listed
            self.size += _size(identity, listed)


class ListMemories:
    """The memories of all such lists of a capture, those last that were changed last."""

    def __init__(self) -> None:
        self._lists: dict[tuple[str, str | None], _Memory] = {}
        self._writers: dict[str, WriteEntries] = {}
        """By the names of the streams whose memory is in the state."""
        self.size = 0
        """Bytes of the lists that are not in the state."""
        self._in_state = 0
        """Objects of the others."""
        self._warned: set[tuple[str, str]] = set()
        """The streams of which a list is not remembered, and where."""
        self._writing = asyncio.Lock()
        """Held while a change is written. A caller with nothing to write waits too: its objects may be in
        that change."""

    def restore(self, stream: str, entries: Iterable[tuple[str, str, Listed]], write: WriteEntries) -> None:
        """Takes over what the state has of a stream, and how its entries are written."""
        self._writers[stream] = write
        for account_id, identity, listed in entries:
            memory = self._lists.setdefault((stream, account_id), _Memory(in_state=True))
            memory.change(identity, listed)
            self._in_state += 1

    def of(self, source: Source) -> Mapping[str, Listed]:
        """What is remembered of a list, to be read only."""
        memory = self._lists.get(source.key)
        return memory.objects if memory is not None else {}

    async def remember(
        self,
        source: Source,
        captured: Mapping[str, Listed],
        merge: Callable[[Mapping[str, Listed], Mapping[str, Listed]], Mapping[str, Listed]] | None = None,
    ) -> None:
        """Remembers objects that are about to be captured, in a checkpoint of its own where the state has
        them. What is known by then may have to be merged."""
        if captured:
            async with self._writing:
                captured = merge(self.of(source), captured) if merge else captured
                entries, write = self.change(source, captured), self._writers.get(source.stream.NAME)
                if entries and write is not None:
                    await write(entries)

    def change(self, source: Source, changes: Mapping[str, Listed | None]) -> Json:
        """Changes the memory of a list; None stands for an object that is gone. Returns the merge patch of
        its entries in the state, to be written in the checkpoint that carries the documents."""
        key, is_written = source.key, source.stream.NAME in self._writers
        memory = self._lists.pop(key, None) or _Memory(in_state=is_written)
        self._count(memory, -1)
        was_in_state, new = memory.in_state, [name for name in changes if name not in memory.objects]
        differing = {name: listed for name, listed in changes.items() if memory.objects.get(name) != listed}
        for name, listed in differing.items():
            memory.change(name, listed)
        memory.in_state = is_written and self._fits(source, memory)
        if was_in_state and not memory.in_state:
            differing = dict.fromkeys({*memory.objects, *differing} - {*new})
        elif not was_in_state:
            differing = dict(memory.objects) if memory.in_state else {}
        if not memory.in_state and self.size + memory.size > source.settings.remembered_bytes:
            self._forget(source, memory, new)
        if memory.objects:
            self._lists[key] = memory
            self._count(memory, 1)
        at, account_id = source.http.now().replace(microsecond=0), source.account_id
        return {
            entry_key(account_id, name): listed and to_entry(name, listed, at)
            for name, listed in differing.items()
        }

    def _count(self, memory: _Memory, sign: int) -> None:
        """Adds a list to what is counted, or takes it out."""
        if memory.in_state:
            self._in_state += sign * len(memory.objects)
        else:
            self.size += sign * memory.size

    def _fits(self, source: Source, memory: _Memory) -> bool:
        """Whether the state may have all of a list."""
        settings, objects = source.settings, len(memory.objects)
        is_long = objects > settings.remembered_of_list
        fits = not is_long and self._in_state + objects <= settings.remembered_objects
        if memory.in_state and not fits:
            why = "a list is too long" if is_long else "the lists of the capture have too many objects"
            line = (
                f"{source.stream.NAME}: {why} to be remembered in the state. What is deleted while the "
                "capture is not running stays in the collection: backfill again if that matters"
            )
            self._warn(source, memory, "state", line)
        return fits

    def _forget(self, source: Source, memory: _Memory, new: list[str]) -> None:
        """Forgets what exceeds the bound in memory: other lists first, then `new` objects of this list."""
        line = (
            f"{source.stream.NAME}: compared lists are too long to be remembered in memory. Objects that did "
            "not change are captured again when such a list is read: disable the binding if that is too much"
        )
        self._warn(source, memory, "memory", line)
        most = source.settings.remembered_bytes
        for key in [key for key, other in self._lists.items() if not other.in_state]:
            if self.size + memory.size > most:
                self._count(self._lists.pop(key), -1)
        while new and self.size + memory.size > most:
            memory.change(new.pop(), None)

    def _warn(self, source: Source, memory: _Memory, where: str, line: str) -> None:
        if (kind := (source.stream.NAME, where)) not in self._warned:
            self._warned.add(kind)
            about = {"account": source.account_id, "objects": len(memory.objects)}
            source.log.warning(line, about)


def _size(identity: str, listed: Listed) -> int:
    return ENTRY_BYTES + len(identity) + sum(100 + len(str(value)) for value in listed.keys.values())
