"""Which objects changed, and were captured, while a page of their backfill was being read.

A page is as old as its request. Reading a page with children or long lists in it may take longer than events
lag behind. A document that was captured meanwhile is newer than the page's version of the object: the
backfill leaves such objects out. What is recorded of a stream and account is kept only while someone has it
open.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class _Record:
    """The loop time at which each object was captured last, and how many have the record open."""

    times: dict[str, float] = field(default_factory=dict)
    users: int = 0


class SupersededIds:
    """The records, each by the stream's name and the account."""

    def __init__(self) -> None:
        self._records: dict[tuple[str, str | None], _Record] = {}

    @contextmanager
    def recording(self, key: tuple[str, str | None]) -> Iterator[Mapping[str, float]]:
        """When each object was captured, since the record of the stream and account was opened."""
        record = self._records.setdefault(key, _Record())
        record.users += 1
        try:
            yield record.times
        finally:
            record.users -= 1
            if not record.users:
                del self._records[key]

    def add(self, key: tuple[str, str | None], object_id: str) -> None:
        """Records that the incremental task captured an object."""
        if (record := self._records.get(key)) is not None:
            record.times[object_id] = asyncio.get_running_loop().time()
