"""The documents of one page, as bytes, until the page is whole.

A page may grow far beyond its list: by the children of its parents, and by lists inside its objects. Its
documents are written here as they come, and only a few of them are Python objects at a time. Large pages are
on disk.
"""

from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Self

import orjson

from source_stripe_native.streams.row import Document


class PageSpool:
    """Keeps `memory` bytes off the disk at most. The file is closed at the end of the block."""

    def __init__(self, memory: int) -> None:
        # The block of the spool is the file's.
        self._file: IO[bytes] = SpooledTemporaryFile(max_size=memory)  # noqa: SIM115 - it outlives the method, and is closed in __exit__
        self.documents = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, document: Document) -> None:
        self._file.write(orjson.dumps(document) + b"\n")
        self.documents += 1

    def read(self) -> Iterator[Document]:
        """The documents in the order in which they came."""
        self._file.seek(0)
        for line in self._file:
            yield orjson.loads(line)
