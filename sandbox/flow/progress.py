"""What a person at a terminal sees of a running capture: the documents of each binding, their rate, the time,
and what the connector last said of its status.

It is drawn on stderr, and only if that is a terminal. Else stderr has nothing but the connector's log.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sandbox.flow.logs import Log


class Progress:
    """Drawn while entered. The log is shown from `level` on, as lines of text or of JSON."""

    def __init__(self, *, level: str, as_json: bool = False) -> None:
        self._level, self._as_json = level, as_json
        self._documents: Counter[str] = Counter()
        self._transactions = 0
        self._statuses: dict[str, str] = {}
        """The last status of each stream, and of the whole under no name."""
        self._began = time.monotonic()
        stream = sys.stderr
        console = Console(file=stream)
        shown = Live(
            get_renderable=self._shown, console=console, redirect_stdout=False, redirect_stderr=False
        )
        self._live = shown if stream.isatty() else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def log(self, log: Log) -> None:
        if log.fields.get("eventType") == "connectorStatus":
            self._statuses[str(log.fields.get("stream", ""))] = log.message
        if log.at_least(self._level):
            with self.aside():
                click.echo(log.as_json() if self._as_json else log.as_text(), err=True)

    def count(self, collections: Iterable[str]) -> None:
        """Counts a transaction whose documents went to these collections."""
        self._documents.update(collections)
        self._transactions += 1

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Takes the table away while something else is written, which may go to the same terminal."""
        if self._live is None or not self._live.is_started:
            yield
            return
        self._live.transient = True
        self._live.stop()
        try:
            yield
        finally:
            self._live.transient = False
            self._live.start()

    def _shown(self) -> Group:
        statuses = [Text(self._statuses[each]) for each in sorted(self._statuses, reverse=True)]
        return Group(self._table(), *statuses)

    def _table(self) -> Table:
        seconds = time.monotonic() - self._began
        table = Table.grid(padding=(0, 2))
        for collection, documents in sorted(self._documents.items()):
            table.add_row(collection, f"{documents:,}", f"{documents / seconds:,.1f}/s")
        total = self._documents.total()
        table.add_row(
            _counted(total, "document"), _counted(self._transactions, "transaction"), f"{seconds:.0f} s"
        )
        return table


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"
