"""`preview` on a real pseudo-terminal: its table stays within the screen, and Ctrl-C ends it well."""

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sandbox.flow.screen import Row, live_table, summary
from source_stripe_native.streams import STREAMS
from tests.sandbox.fake_connector import catalog, written
from tests.warm_python import python

IN_FRONT = (
    "import fcntl, runpy, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "runpy.run_module('sandbox', run_name='__main__', alter_sys=True)"
)
"""Makes its stdin the terminal that it is in the foreground of, so that a typed Ctrl-C gets to it."""
TOKEN = re.compile(rb"\x1b\[(\??[0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")
CUT = re.compile(rb"(\x1b(\[\??[0-9;]*)?|[\xc0-\xff][\x80-\xbf]?)\Z")
BINDINGS = 45
STATE = {"inc": {"cursor": "2026-01-01T00:00:00Z"}}


@dataclass
class Screen:
    """What a terminal of so many lines shows, and what has scrolled out of it. It knows the few controls that
    the preview uses, and fails for others."""

    height: int
    width: int
    lines: list[str] = field(default_factory=lambda: [""])
    scrolled: list[str] = field(default_factory=list)
    _row: int = 0
    _column: int = 0
    _rest: bytes = b""

    def feed(self, data: bytes) -> None:
        # A reading may end in the middle of a control, or of a character.
        data, self._rest = self._rest + data, b""
        if cut := CUT.search(data):
            data, self._rest = data[: cut.start()], data[cut.start() :]
        for control, verb, feed, text in TOKEN.findall(data):
            match verb, feed:
                case b"A", _:
                    self._row = max(0, self._row - int(control or 1))
                case b"K", _:
                    self.lines[self._row] = ""
                case b"H", _:
                    self._row = self._column = 0
                case b"J", _:
                    self.lines = [""] * len(self.lines)
                case ((b"m" | b"h" | b"l"), _):
                    pass
                case b"", b"\r":
                    self._column = 0
                case b"", b"\n":
                    self._down()
                case b"", b"":
                    self._write(text.decode(errors="replace"))
                case _:
                    raise AssertionError(f"unknown control {control!r} {verb!r}")

    def resize(self, height: int, width: int) -> None:
        """Wraps what has become too long, as terminals do; the cursor stays below the last line."""
        self.height, self.width = height, width
        wrapped = [
            piece
            for line in self.lines
            for piece in ([line[at : at + width] for at in range(0, len(line), width)] or [""])
        ]
        self.scrolled += wrapped[: max(0, len(wrapped) - height)]
        self.lines = wrapped[-height:]
        self._row, self._column = len(self.lines) - 1, 0

    def _write(self, text: str) -> None:
        while text:
            if self._column == self.width:
                self._column = 0
                self._down()
            piece, text = text[: self.width - self._column], text[self.width - self._column :]
            line = self.lines[self._row].ljust(self._column)
            self.lines[self._row] = line[: self._column] + piece + line[self._column + len(piece) :]
            self._column += len(piece)

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self.lines):
            self.lines.append("")
        if len(self.lines) > self.height:
            self.scrolled.append(self.lines.pop(0))
            self._row -= 1


class Terminal:
    """A preview whose stdin and stderr are a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], end: int, screen: Screen) -> None:
        self.process, self.screen, self._end = process, screen, end

    def until(self, holds: Callable[[Screen], bool], readings: int = 100_000) -> None:
        """Reads what comes until the screen is as wanted."""
        while not holds(self.screen):
            readings -= 1
            assert readings, "\n".join(self.screen.lines)
            self.screen.feed(os.read(self._end, 1 << 16))

    def resize(self, height: int, width: int) -> None:
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self.screen.resize(height, width)

    def type(self, keys: bytes) -> None:
        os.write(self._end, keys)

    def rest(self) -> list[str]:
        """All lines that are on the screen, or were, when the preview has ended."""
        while True:
            try:
                data = os.read(self._end, 1 << 16)
            except OSError:  # nobody has the other end any more
                return [*self.screen.scrolled, *self.screen.lines]
            self.screen.feed(data)


@contextmanager
def previewing(
    directory: Path, content: dict[str, Any], *flags: str, height: int, width: int = 100, whole: bool = False
) -> Iterator[Terminal]:
    """`whole`: the documents go to the terminal too."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    source = written(directory, content)
    environment = {k: v for k, v in os.environ.items() if k not in ("LINES", "COLUMNS", "LOG_LEVEL")}
    with subprocess.Popen(
        [python(), "-c", IN_FRONT, "preview", "--source", str(source), *flags],
        stdin=its,
        stdout=its if whole else subprocess.PIPE,
        stderr=its,
        start_new_session=True,
        env={**environment, "TERM": "xterm"},
    ) as process:
        os.close(its)
        try:
            yield Terminal(process, ours, Screen(height, width))
        finally:
            process.kill()
            os.close(ours)


def many(*steps: dict[str, Any]) -> dict[str, Any]:
    """A capture of many streams, all of which have a document and a cursor before it takes `steps`."""
    names = [f"Stream{number:02}" for number in range(BINDINGS)]
    documents = [{"doc_of": [place, {"id": "a"}]} for place in range(BINDINGS)]
    state = {"bindingStateV1": dict.fromkeys(names, STATE)}
    content = catalog([*documents, {"checkpoint": state}, *steps])
    content["captures"]["acmeCo/fake"]["bindings"] = [
        {"resource": {"name": name}, "target": f"acmeCo/{name}"} for name in names
    ]
    content["collections"] = {f"acmeCo/{name}": {"schema": True, "key": ["/id"]} for name in names}
    return content


def logged(message: str, **fields: Any) -> dict[str, str]:
    return {"stderr": json.dumps({"level": "info", "msg": message, "fields": fields})}


def is_table(line: str) -> bool:
    return line.startswith(("stream ", "Stream", "and ", " Stream")) or " transaction" in line


@pytest.mark.parametrize("height", [24, 60])
def test_table_of_many_streams_stays_within_the_screen(tmp_path: Path, height: int) -> None:
    noise = [{"log": ["WARN", f"warning {number}"]} for number in range(3 * height)]
    with previewing(tmp_path, many(*noise), height=height) as terminal:
        terminal.until(lambda screen: any(f"warning {3 * height - 1}" in line for line in screen.lines))
        terminal.until(lambda screen: any("1 transaction" in line for line in screen.lines))
        lines, scrolled = terminal.screen.lines, terminal.screen.scrolled
        assert [line for line in scrolled if is_table(line)] == []
        shown = [line for line in lines if line.startswith("Stream")]
        if height > BINDINGS + 5:
            assert len(shown) == BINDINGS
        else:
            (cut,) = [line for line in lines if line.startswith("and ")]
            assert cut.startswith(f"and {BINDINGS - len(shown)} more streams: ")
            assert len(shown) > height / 2


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_narrow_table_shortens_names_and_no_number(width: int) -> None:
    age = timedelta(seconds=70)
    rows = [
        Row("PaymentIntentAmountDetailsLineItems", "backfilling", 1_234_567, 1234.5, 12, "43%", age),
        Row("Charges", "following", 1, 0.1, 0, "", age),
    ]
    console = Console(width=width, file=io.StringIO())
    for table in (live_table(rows, ["a footer"], 24, width), summary(rows, ["a footer"])):
        with console.capture() as shown:
            console.print(table)
        _, first, second, *_ = shown.get().splitlines()
        for number in ("1,234,567", "1,234.5/s", "70 s"):
            assert f" {number}" in first
        assert first.startswith("Paym")
        assert second.startswith("Charges ")
        assert len(shown.get().splitlines()) == len(rows) + 2, "a row has one line"


def test_the_names_of_the_streams_are_whole_at_80_columns() -> None:
    longest = max((each.NAME for each in STREAMS if not each.DISABLED), key=len)
    rows = [Row(longest, "backfilling", 123_456, 51.8, 0, "43%, 12 min", timedelta(seconds=70))]
    console = Console(width=80, file=io.StringIO())
    with console.capture() as shown:
        console.print(live_table(rows, [], 24, 80))
    assert shown.get().splitlines()[1].split() == [
        longest, "backfilling", "123,456", "51.8/s", "43%,", "12", "min", "70", "s"
    ]  # fmt: skip


def test_documents_on_the_same_terminal_scroll_by_above_the_table(tmp_path: Path) -> None:
    with previewing(tmp_path, many({"count": [100, 1]}), height=24, whole=True) as terminal:
        terminal.until(lambda screen: any("145 documents, 101 transactions" in line for line in screen.lines))
        lines, scrolled = terminal.screen.lines, terminal.screen.scrolled
    assert [line for line in scrolled if is_table(line)] == []
    assert len([line for line in lines if line.startswith("stream ")]) == 1
    assert any('"id":"50"' in line for line in scrolled)


@pytest.mark.parametrize(("height", "width"), [(60, 80), (70, 140)])
def test_a_terminal_that_is_resized_shows_one_table(tmp_path: Path, height: int, width: int) -> None:
    steps: list[dict[str, Any]] = [
        logged("A status of more than the width. " * 9, eventType="connectorStatus"),
        {"checkpoint": {}},
    ]
    with previewing(tmp_path, many(*steps), height=60) as terminal:
        terminal.until(lambda screen: screen.lines[-1].startswith("A status"))
        terminal.until(lambda screen: any("2 transactions" in line for line in screen.lines))
        terminal.resize(height, width)
        # Each drawing is a reading or two.
        terminal.until(lambda screen: screen.lines[0].startswith("stream "), 8)
        terminal.until(lambda screen: any(line.startswith("A status") for line in screen.lines), 8)
        lines = [line for line in terminal.screen.lines if line.strip()]
    assert len([line for line in lines if line.startswith("stream ")]) == 1
    assert len([line for line in lines if " transactions" in line]) == 1
    assert len(lines) <= height
    assert all(is_table(line) or line.startswith("A status") for line in lines), lines


def test_what_a_preview_waits_for_is_told(tmp_path: Path) -> None:
    with previewing(tmp_path, many({"checkpoint": {}}), "--until-caught-up", height=60) as terminal:
        terminal.until(lambda screen: any("waiting for 45 of 45" in line for line in screen.lines))
        (told,) = [line for line in terminal.screen.lines if line.startswith("waiting for")]
    assert told == ("waiting for 45 of 45 streams to catch up: Stream00, Stream01, Stream02 and 42 more")


def test_interrupt_ends_with_a_summary_and_a_state_that_resumes(tmp_path: Path) -> None:
    kept = tmp_path / "state.json"
    status = logged("A status of more than the width of a screen. " * 9, eventType="connectorStatus")
    with previewing(tmp_path, many(status, {"checkpoint": {}}), "--state", str(kept), height=24) as terminal:
        terminal.until(lambda screen: any("2 transactions" in line for line in screen.lines))
        terminal.until(lambda screen: screen.lines[-1].startswith("A status of more"))
        terminal.type(b"\x03")
        lines = terminal.rest()
        assert terminal.process.wait() == 130
    (start,) = [place for place, line in enumerate(lines) if line.startswith("stream ")]
    told = lines[start:]
    assert len([line for line in told if line.startswith("Stream")]) == BINDINGS
    assert any(line.startswith("45 documents, 2 transactions") for line in told)
    assert not any("A status" in line for line in told), "the last status is older than the summary"
    assert json.loads(kept.read_text())["bindingStateV1"]["Stream44"] == STATE
    shown = "".join(line.strip("\r") for line in lines)
    assert "The state is kept in " in shown
    assert "the same command goes on from there." in shown

    content = many()
    content["captures"]["acmeCo/fake"]["endpoint"]["local"]["env"]["FAKE"] = json.dumps(
        {"runs": [[{"state": "resumed"}, {"checkpoint": {}}]]}
    )
    with previewing(tmp_path, content, "--state", str(kept), "--sessions", "1", height=24) as terminal:
        assert terminal.process.stdout
        _, document = json.loads(terminal.process.stdout.readline())
        assert document["state"]["bindingStateV1"]["Stream44"] == STATE
        terminal.rest()


def test_an_interrupt_without_a_file_for_the_state_says_how_to_keep_it(tmp_path: Path) -> None:
    content = catalog([{"log": ["WARN", "begun"]}, {"sleep": 60}])
    with previewing(tmp_path, content, height=24) as terminal:
        terminal.until(lambda screen: any("begun" in line for line in screen.lines))
        terminal.type(b"\x03")
        lines = terminal.rest()
    assert any(line.startswith("No state is kept: with --state FILE") for line in lines)


def test_table_tells_of_backfills_and_accounts_paused_by_the_fields_of_the_connectors_log(
    tmp_path: Path,
) -> None:
    def told(done: float | None, seconds: int | None) -> dict[str, Any]:
        return {"backfilling": {"Stream07": {"done": done, "documents": 9, "left_seconds": seconds}}}

    aside = {"accounts": 3, "streams": {"Stream07": 2, "Stream08": 1, "their changes": 1}}
    under_way = {"bindingStateV1": {"Stream07": {"backfill": {"cutoff": "", "next_page": None}}}}
    steps: list[dict[str, Any]] = [
        logged("The status", eventType="connectorStatus", paused=aside, **told(0.12, None)),
        logged("of one stream, at debug", **told(0.8, 200)),
        {"checkpoint": under_way},
    ]
    with previewing(tmp_path, many(*steps), height=60) as terminal:
        terminal.until(lambda screen: any(line.startswith("The status") for line in screen.lines))
        terminal.until(lambda screen: any("80%, 3 min" in line for line in screen.lines))
        terminal.until(lambda screen: screen.lines[-1].startswith("The status"))
        lines = terminal.screen.lines
    rows = {line.split()[0]: line for line in lines if line.startswith("Stream0")}
    assert "backfilling, 2 paused" in rows["Stream07"]
    assert "80%, 3 min" in rows["Stream07"]
    assert "following, 1 paused" in rows["Stream08"]
    assert "paused" not in rows["Stream09"]
    assert any("3 accounts paused" in line for line in lines)


def test_table_tells_the_requests_and_their_limit(tmp_path: Path) -> None:
    def line(message: str, **args: Any) -> dict[str, str]:
        return {"stderr": json.dumps({"level": "debug", "msg": message, "fields": {"args": args}})}

    asked = line("request", method="GET", path="/v1/x", attempt=1, status=200, limit=20.0)
    steps: list[dict[str, Any]] = [asked, asked, {"checkpoint": {}}]
    with previewing(tmp_path, many(*steps), height=60) as terminal:
        terminal.until(lambda screen: any("2 requests, " in line for line in screen.lines))
        (told,) = [line for line in terminal.screen.lines if "2 requests, " in line]
        assert "/s of 20" in told
        assert terminal.screen.scrolled == []
