"""Which objects changed, and were captured, while a page of their backfill was still being read.

A page is as old as its first request, and one with children or long lists in it may take longer than events
lag behind. What was captured of its objects meanwhile is newer than what the page says of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager


class Overtaken:
    def __init__(self) -> None:
        self._open: dict[tuple[str, str | None], dict[int, set[str]]] = {}

    @contextmanager
    def page(self, stream: str, account_id: str | None) -> Iterator[set[str]]:
        """The ids captured by the follower from here on, while the page is read."""
        key, ids = (stream, account_id), set[str]()
        pages = self._open.setdefault(key, {})
        pages[id(ids)] = ids
        try:
            yield ids
        finally:
            del pages[id(ids)]
            if not pages:
                self._open.pop(key, None)

    def captured(self, stream: str, account_id: str | None, object_id: str) -> None:
        for ids in self._open.get((stream, account_id), {}).values():
            ids.add(object_id)
