"""What a person at a terminal sees of a running capture: one table that stays, the connector's log above it,
and a summary at the end.

It is drawn on stderr, and only if that is a terminal. Else stderr has nothing but the connector's log.
"""

import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.control import Control
from rich.live import Live
from rich.table import Table

from sandbox.flow.logs import Log
from sandbox.flow.screen import Row, counted, left_text, live_table, summary
from sandbox.flow.session import Capture

REFRESH = 0.5
"""Seconds between two drawings of the table."""
_RATE_SPAN = 10.0  # seconds that a rate is measured over
_NAMED = 3  # streams that a line names


class Progress:
    """Drawn with each `refresh` while entered. The log is shown from `level` on, as lines of text
    or of JSON; a warning or an error that was shown is not shown again."""

    def __init__(self, *, level: str, as_json: bool = False) -> None:
        self._level, self._as_json = level, as_json
        self._capture: Capture | None = None
        self._documents: Counter[str] = Counter()
        self._samples: deque[tuple[float, int, Counter[str]]] = deque()
        """Times, and how many requests and documents there were."""
        self.transactions = 0
        self._status = ""
        """The last status of the capture."""
        self._left: dict[str, str] = {}
        """How much of each stream's backfill is left, as far as that is known."""
        self._paused: Counter[str] = Counter()
        """How many accounts are paused for each stream, and in all under no name."""
        self._requests = 0
        self._request_limit: float | None = None
        self._told: set[str] = set()
        self._began = time.monotonic()
        self._is_entered = False
        stream = sys.stderr
        self._console = Console(file=stream)
        shown = Live(
            get_renderable=self._shown,
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live = shown if stream.isatty() else None
        self._size = self._console.size
        self._waits_since: datetime | None = None
        """When a preview began that ends once all bindings have caught up."""

    def __enter__(self) -> Self:
        self._is_entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_entered = False
        if self._live:
            self._live.stop()
            seconds = time.monotonic() - self._began
            # Without the last status, which is older than the table and would contradict it.
            self._console.print(summary(self._rows(seconds), [self._facts(seconds)]))

    @property
    def log_level(self) -> str | None:
        """What the connector is to log for the table: it tells of its requests at debug."""
        return "debug" if self._live else None

    @property
    def documents(self) -> int:
        """How many were counted in all transactions."""
        return self._documents.total()

    def watch(self, capture: Capture, *, waits: bool = False) -> None:
        """Shows the bindings of a capture from now on, and with `waits` those that have not caught up."""
        self._capture = capture
        self._waits_since = datetime.now(UTC) if waits else None

    def log(self, log: Log) -> None:
        if log.is_status:
            self._status = log.message
        self._note(log.fields)
        match log.fields.get("args"):
            case {"path": _, "attempt": _, "limit": int() | float() as limit}:
                self._requests += 1
                self._request_limit = limit
        line = log.as_json() if self._as_json else log.as_text()
        if not log.at_least(self._level) or line in self._told:
            return
        if log.at_least("warn"):
            self._told.add(line)
        self.take_away()
        click.echo(line, err=True)

    def _note(self, fields: Mapping[str, Any]) -> None:
        """Notes what a line tells of backfills and of accounts that are paused."""
        match fields.get("backfilling"):
            case dict() as streams:
                for stream, status in streams.items():
                    self._left[stream] = left_text(status)
        match fields.get("paused"):
            case {"accounts": int(accounts), "streams": dict(streams)}:
                self._paused = Counter({**streams, "": accounts})

    def count(self, collections: Iterable[str]) -> None:
        """Counts a transaction whose documents went to these collections."""
        self._documents.update(collections)
        self.transactions += 1

    def refresh(self) -> None:
        now = time.monotonic()
        self._samples.append((now, self._requests, self._documents.copy()))
        while now - self._samples[0][0] > _RATE_SPAN:
            self._samples.popleft()
        if self._live is None or not self._is_entered:
            return
        self._clear_where_resized()
        if self._live.is_started:
            self._live.refresh()
        else:
            self._live.start(refresh=True)

    def take_away(self) -> None:
        """Takes the table away before something else is written, which may go to the same terminal. The next
        `refresh` brings it back: much is written faster than tables are drawn."""
        if self._live:
            self._clear_where_resized()
            self._live.stop()

    def _clear_where_resized(self) -> None:
        """A terminal that becomes narrower wraps the table's lines, which then cannot be taken away."""
        if (size := self._console.size) != self._size:
            self._size = size
            if self._live and self._live.is_started:
                self._console.control(Control.home(), Control.clear())

    def _shown(self) -> Table:
        since, requests, documents = self._samples[0] if self._samples else (self._began, 0, Counter[str]())
        seconds = time.monotonic() - since
        rows, footer = self._rows(seconds, documents), [self._facts(seconds, requests)]
        if waiting := self._waiting():
            footer.append(waiting)
        if self._status:
            footer.append(self._status)
        return live_table(rows, footer, self._console.size.height, self._console.size.width)

    def _waiting(self) -> str:
        """What a preview waits for that ends once all bindings have caught up."""
        if self._capture is None or (since := self._waits_since) is None:
            return ""
        standings = list(self._capture.standings())
        names = [name for name, _, standing in standings if not standing.has_caught_up(since)]
        if not names:
            return ""
        told = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if names[_NAMED:] else "")
        return f"waiting for {len(names)} of {counted(len(standings), 'stream')} to catch up: {told}"

    def _rows(self, seconds: float, before: Counter[str] | None = None) -> list[Row]:
        """A row for each binding; its rate is that of the last `seconds`, when it had what `before` has."""
        if self._capture is None:
            return []
        now, rows = datetime.now(UTC), []
        for name, collection, standing in self._capture.standings():
            documents = self._documents[collection]
            new = documents - (before or Counter[str]())[collection]
            rows.append(
                Row(
                    stream=name,
                    phase=standing.phase,
                    documents=documents,
                    rate=new / max(seconds, REFRESH),
                    paused=self._paused[name],
                    left="" if standing.phase == "following" else self._left.get(name, ""),
                    age=now - standing.cursor if standing.cursor else None,
                )
            )
        return rows

    def _facts(self, seconds: float, requests: int = 0) -> str:
        """What holds of the whole; the rate of requests is that of the last `seconds`."""
        facts = [
            counted(self.documents, "document"),
            counted(self.transactions, "transaction"),
            f"{time.monotonic() - self._began:.0f} s",
        ]
        if self._requests:
            rate = (self._requests - requests) / max(seconds, REFRESH)
            told = f"{counted(self._requests, 'request')}, {rate:.1f}/s"
            facts.append(f"{told} of {self._request_limit:g}")
        if self._paused[""]:
            facts.append(f"{counted(self._paused[''], 'account')} paused")
        return ", ".join(facts)
