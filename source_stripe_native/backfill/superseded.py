"""The ids of objects that changed, and were captured, while a page of their backfill was still being read.

A page is as old as its first request. Reading a page with children or long lists in it may take longer than
events lag behind. A document that was captured meanwhile is newer than the page's version of the object: the
backfill leaves such objects out.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class SupersededIds:
    def __init__(self) -> None:
        self._open: dict[tuple[str, str | None], dict[int, set[str]]] = {}

    @contextmanager
    def during_page(self, stream: str, account_id: str | None) -> Iterator[set[str]]:
        """The ids that the incremental task captures from here on, while the page is read."""
        ids = self.open(stream, account_id)
        try:
            yield ids
        finally:
            self.close(stream, account_id, ids)

    def open(self, stream: str, account_id: str | None) -> set[str]:
        """The ids that the incremental task captures from here on, until they are closed."""
        ids = set[str]()
        self._open.setdefault((stream, account_id), {})[id(ids)] = ids
        return ids

    def close(self, stream: str, account_id: str | None, ids: set[str]) -> None:
        pages = self._open[stream, account_id]
        del pages[id(ids)]
        if not pages:
            del self._open[stream, account_id]

    def add(self, stream: str, account_id: str | None, object_id: str) -> None:
        """Records that the incremental task captured an object."""
        for ids in self._open.get((stream, account_id), {}).values():
            ids.add(object_id)
