"""`preview`: runs a capture and prints each transaction as it is committed, or puts it into a database."""

import asyncio
import contextlib
import math
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from sandbox.flow.doc_table import table_lines
from sandbox.flow.document import Document, KeyLocation, printed
from sandbox.flow.progress import REFRESH, Progress
from sandbox.flow.session import Capture, Session
from sandbox.flow.state import combined, write_state
from sandbox.flow.transaction import Transaction

Write = Callable[[bytes], None]
Insert = Callable[[Mapping[str, Sequence[Document]], Mapping[str, Sequence[KeyLocation]]], None]
"""Takes a transaction's documents by collection, in the order of their publication, and the key of each
collection."""

_SAVING = 1.0  # seconds between two writes of the state's file


@dataclass(frozen=True)
class Preview:
    sessions: Sequence[int] = (-1,)
    """How many transactions each session is to have; a negative number is no limit."""
    delay: float = 0.0
    timeout: float | None = None
    """Seconds of silence after which the preview ends."""
    until_caught_up: bool = False
    """Whether it ends once every binding has what there was when it began (see `Standing`)."""
    limit: int | None = None
    """How many documents are printed at most."""
    pretty: bool = False
    table: bool = False
    """Whether documents are printed as rows of a table."""
    output_state: bool = False
    output_apply: bool = False
    state_file: Path | None = None
    """Gets the merged state. However the preview ends, that is the state after the last transaction that was
    printed whole."""

    insert: Insert | None = None
    """Gets the documents, which are not printed then."""

    async def run(self, capture: Capture, write: Write, progress: Progress) -> None:
        """Ends after the last session, when all is done that was asked for, or when the connector was silent
        for too long. Raises FlowError."""
        progress.watch(capture, waits=self.until_caught_up)
        async with _refreshed(progress):
            await capture.validate()
            await _Run(self, capture, write, progress).all_sessions()


class _Run:
    def __init__(self, preview: Preview, capture: Capture, write: Write, progress: Progress) -> None:
        self._asked, self._capture, self._write, self._progress = preview, capture, write, progress
        self._began = datetime.now(UTC)
        self._left = math.inf if preview.limit is None else preview.limit
        self._is_cut = False
        """Whether documents of the last transaction were left out."""
        self._next_save_time = 0.0

    async def all_sessions(self) -> None:
        try:
            for transactions in self._asked.sessions:
                async with self._capture.session(
                    delay=self._asked.delay, timeout=self._asked.timeout
                ) as session:
                    if self._asked.output_apply:
                        self._print([_line(["applied.actionDescription", session.applied])])
                    if not await self._one_session(session, transactions):
                        return
        finally:
            self._save(at_once=True)

    async def _one_session(self, session: Session, transactions: int) -> bool:
        """Whether the session had all its transactions; if not, the preview ends here."""
        while transactions != 0:
            if self._is_done():
                return False
            transaction = await anext(session, None)
            if transaction is None:
                return False
            documents = self._within_limit(transaction)
            if self._asked.insert:
                self._asked.insert(self._by_collection(documents), self._capture.collection_keys)
                self._print(self._state_lines(transaction))
            else:
                self._print([*self._document_lines(documents), *self._state_lines(transaction)])
            self._progress.count(self._capture.bindings[binding].target for binding, _ in documents)
            # What a limit leaves out has to come again: the state must not be past it.
            self._save(at_once=self._asked.limit is not None)
            transactions -= 1
        return True

    def _is_done(self) -> bool:
        if self._left <= 0:
            return True
        return self._asked.until_caught_up and all(
            standing.has_caught_up(self._began) for _, _, standing in self._capture.standings()
        )

    def _within_limit(self, transaction: Transaction) -> Sequence[tuple[int, Document]]:
        count = int(min(self._left, len(transaction.documents)))
        self._left -= count
        self._is_cut = count < len(transaction.documents)
        return transaction.documents[:count]

    def _print(self, lines: Iterable[bytes]) -> None:
        if text := b"".join(lines):
            if sys.stdout.isatty():
                self._progress.take_away()
            self._write(text)

    def _save(self, *, at_once: bool) -> None:
        now = time.monotonic()
        if self._asked.state_file and not self._is_cut and (at_once or now >= self._next_save_time):
            write_state(self._asked.state_file, self._capture.state)
            self._next_save_time = now + _SAVING

    def _document_lines(self, documents: Sequence[tuple[int, Document]]) -> Iterator[bytes]:
        if self._asked.table:
            width, keys = shutil.get_terminal_size().columns, self._capture.collection_keys
            for name, found in self._by_collection(documents).items():
                yield from (f"{line}\n".encode() for line in table_lines(name, keys[name], found, width))
            return
        for binding, document in documents:
            yield printed(self._capture.bindings[binding].target, document, pretty=self._asked.pretty)

    def _state_lines(self, transaction: Transaction) -> Iterator[bytes]:
        if self._asked.output_state and (update := combined(transaction.updates, self._capture.state)):
            yield _line(["connectorState", {"updated": update.updated, "mergePatch": update.merge_patch}])

    def _by_collection(self, documents: Sequence[tuple[int, Document]]) -> Mapping[str, Sequence[Document]]:
        found: dict[str, list[Document]] = {}
        for binding, document in documents:
            found.setdefault(self._capture.bindings[binding].target, []).append(document)
        return found


@contextlib.asynccontextmanager
async def _refreshed(progress: Progress) -> AsyncIterator[None]:
    """Draws the table anew from time to time."""

    async def refresh() -> None:
        while True:
            progress.refresh()
            await asyncio.sleep(REFRESH)

    task = asyncio.create_task(refresh())
    try:
        yield
    finally:
        task.cancel()


def _line(value: object) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
