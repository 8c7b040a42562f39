"""The memory of lists that are compared as a whole: which objects of a stream and account have been captured.

Rule: an object is remembered before its document counts, with its version unknown. Once the document counts,
the version's digest is written. After a kill in between the object is captured once more.

      remember ------- capture -------- checkpoint ------- settle
      version unknown                   documents count    digest written, deletions forgotten

Of streams whose objects vanish (`SHOWS_DELETIONS`) the memory is in the state as well, so that it outlives
the process. A list of more than `Settings.remembered_of_list` objects is not, nor what exceeds
`Settings.remembered_objects` in all: a deletion is then found only while the process lasts. One warning for
each stream says so, however many accounts have such a list.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from source_stripe_native.state.remembered_lists import Listed, entry_key, to_entry
from source_stripe_native.stripe.client import Json
from source_stripe_native.stripe.pages import Source

UNKNOWN: Final = b""

WriteEntries = Callable[[Json], Awaitable[None]]
"""Writes a merge patch of a binding's entries in a checkpoint of its own. One is written at a time."""


@dataclass
class _Memory:
    """What is remembered of one list, by the objects' identity."""

    objects: dict[str, Listed] = field(default_factory=dict)
    is_kept: bool = True
    """Whether the state has it too."""


class ListMemories:
    """The memories of all such lists of a capture."""

    def __init__(self) -> None:
        self._lists: dict[tuple[str, str | None], _Memory] = {}
        self._writers: dict[str, WriteEntries] = {}
        """By the names of the streams whose memory is in the state."""
        self._kept = 0
        """Objects that are in the state."""
        self._warned: set[str] = set()
        """The streams of which a list is not in the state."""
        self._writing = asyncio.Lock()
        """Held while a change is written. A caller with nothing to write waits too: its objects may be in
        that change."""

    def restore(self, stream: str, found: Iterable[tuple[str, str, Listed]], write: WriteEntries) -> None:
        """Takes over what the state has of a stream, and how its entries are written."""
        self._writers[stream] = write
        for account_id, identity, listed in found:
            self._lists.setdefault((stream, account_id), _Memory()).objects[identity] = listed
            self._kept += 1

    def of(self, source: Source) -> dict[str, Listed]:
        """What is remembered of a list at this moment."""
        memory = self._lists.get((source.stream.NAME, source.account_id))
        return dict(memory.objects) if memory is not None else {}

    async def remember(
        self, source: Source, captured: Mapping[str, Listed], before: Mapping[str, Listed] | None = None
    ) -> None:
        """Remembers objects that are about to be captured, by identity, with unknown versions. With `before`,
        an object whose memory has changed since then is left out."""
        if captured:
            async with self._writing:
                await self._write(
                    source, captured if before is None else self._since(source, before, captured)
                )

    async def settle(
        self, source: Source, before: Mapping[str, Listed], changes: Mapping[str, Listed | None]
    ) -> None:
        """Remembers what a reading found, once that has been captured. None stands for an object that is
        gone. An object whose memory has changed since `before` is left out."""
        if changes:
            async with self._writing:
                await self._write(source, self._since(source, before, changes))

    def _since(
        self, source: Source, before: Mapping[str, Listed], changes: Mapping[str, Listed | None]
    ) -> Mapping[str, Listed | None]:
        """The changes of objects whose memory has not changed since `before`."""
        now = self.of(source)
        return {name: each for name, each in changes.items() if now.get(name) is before.get(name)}

    async def _write(self, source: Source, changes: Mapping[str, Listed | None]) -> None:
        """Changes the memory of a list, and the state with it."""
        key, write = (source.stream.NAME, source.account_id), self._writers.get(source.stream.NAME)
        memory = self._lists.setdefault(key, _Memory())
        before = dict(memory.objects) if write is not None and memory.is_kept else {}
        differing = {name: each for name, each in changes.items() if memory.objects.get(name) != each}
        memory.objects.update({name: each for name, each in changes.items() if each is not None})
        for name in [name for name, each in changes.items() if each is None]:
            memory.objects.pop(name, None)
        if not memory.objects:
            del self._lists[key]
        if write is None:
            return
        was_kept, memory.is_kept = memory.is_kept, self._fits(source, memory, len(before))
        if not memory.is_kept:
            differing = dict.fromkeys(before)
            if was_kept:
                self._warn(source, len(memory.objects))
        elif not was_kept:
            differing = dict(memory.objects)
        self._kept += (len(memory.objects) if memory.is_kept else 0) - len(before)
        if differing:
            at, account_id = source.http.now().replace(microsecond=0), source.account_id
            await write(
                {
                    entry_key(account_id, name): each and to_entry(name, each, at)
                    for name, each in differing.items()
                }
            )

    def _fits(self, source: Source, memory: _Memory, kept: int) -> bool:
        """Whether the state may have all of a list, of which it has so many objects."""
        objects, settings = len(memory.objects), source.settings
        in_all = self._kept - kept + objects
        return objects <= settings.remembered_of_list and in_all <= settings.remembered_objects

    def _warn(self, source: Source, objects: int) -> None:
        if source.stream.NAME in self._warned:
            return
        self._warned.add(source.stream.NAME)
        is_long = objects > source.settings.remembered_of_list
        why = "a list is too long" if is_long else "the lists of the capture have too many objects"
        source.log.warning(
            f"{source.stream.NAME}: {why} to be remembered in the state. What is deleted while the capture "
            "is not running stays in the collection: backfill again if that matters",
            {"account": source.account_id, "objects": objects},
        )
