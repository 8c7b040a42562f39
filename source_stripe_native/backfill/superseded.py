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
        key, ids = (stream, account_id), set[str]()
        pages = self._open.setdefault(key, {})
        pages[id(ids)] = ids
        try:
            yield ids
        finally:
            del pages[id(ids)]
            if not pages:
                self._open.pop(key, None)

    def add(self, stream: str, account_id: str | None, object_id: str) -> None:
        """Records that the incremental task captured an object."""
        for ids in self._open.get((stream, account_id), {}).values():
            ids.add(object_id)
