"""The commands of flowctl that a developer of captures needs, with its flags: `preview` and `raw`. Preview
has some more, for a person at a terminal.

Errors are one line, with exit status 1: `Error: ...`, or the line of the connector's log that told the error.
An interrupted command kills its connector and exits with 128 plus the signal's number.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson

from sandbox.flow.catalog import Catalog, load_catalog
from sandbox.flow.discover import raw_lines, write_specifications
from sandbox.flow.duration import parse_duration
from sandbox.flow.errors import ConnectorFailed, FlowError
from sandbox.flow.local_key import refuse_elsewhere
from sandbox.flow.preview import Insert, Preview
from sandbox.flow.progress import Progress
from sandbox.flow.screen import counted
from sandbox.flow.session import ALL_KEYS, Capture, Keys
from sandbox.flow.spec import spec_line
from sandbox.flow.state import read_state

T = TypeVar("T")

_QUIET = "warn"


class _Duration(click.ParamType[float]):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Counts(click.ParamType[tuple[int, ...]]):
    name = "counts"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            return tuple(int(count) for count in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of numbers, as in 2,3", param, ctx)


class _KeyRange(click.ParamType[Keys]):
    name = "keys"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Keys:
        if isinstance(value, tuple):
            return value
        if not (match := re.fullmatch(r"([0-9a-f]{8})-([0-9a-f]{8})", value, re.IGNORECASE)):
            self.fail(f"{value!r} is not a range of keys, as in 00000000-7fffffff", param, ctx)
        first, last = int(match[1], 16), int(match[2], 16)
        if first > last:
            self.fail(f"{value!r} ends before it begins", param, ctx)
        return first, last


class _JsonObject(click.ParamType[dict[str, Any]]):
    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        try:
            parsed = orjson.loads(value)
        except orjson.JSONDecodeError as error:
            self.fail(f"is not JSON: {error}", param, ctx)
        if not isinstance(parsed, dict):
            self.fail("is not a JSON object", param, ctx)
        return parsed


_source = click.option(
    "--source",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Flow specification file that has the capture.",
)


@click.command()
@_source
@click.option("--name", help="The capture, if there are several.")
@click.option(
    "--sessions", type=_Counts(), default="-1", metavar="N,..", help="Transactions of each session."
)
@click.option("--delay", type=_Duration(), default="0s", help="How long to gather a transaction, as in 10s.")
@click.option("--timeout", type=_Duration(), help="End when the connector was silent for so long, as in 30s.")
@click.option("--until-caught-up", is_flag=True, help="End once every binding has what there was at first.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="End after N documents in all.")
@click.option("--pretty", is_flag=True, help="Print documents with indentation.")
@click.option("--table", is_flag=True, help="Print documents as a table of the fields that have room.")
@click.option(
    "--state",
    "state_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Go on from the state in this file, and keep the state there. It need not exist.",
)
@click.option(
    "--keys",
    type=_KeyRange(),
    default=ALL_KEYS,
    metavar="FIRST-LAST",
    help="Run the shard with these keys, as in 00000000-7fffffff. (flowctl has no such option.)",
)
@click.option(
    "--into",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.duckdb",
    help="Put the documents into tables of a DuckDB file instead of printing them: a look at the data.",
)
@click.option("--keep-deletions", is_flag=True, help="With --into: mark deleted rows, and keep them.")
@click.option("--initial-state", type=_JsonObject(), help="State that the first session opens with.")
@click.option("--output-state", is_flag=True, help="Print the changes of the connector's state.")
@click.option("--output-apply", is_flag=True, help="Print what the connector did to apply the capture.")
@click.option("--log-json", is_flag=True, help="Write the connector's log as JSON lines.")
def preview(
    source: Path,
    name: str | None,
    keys: Keys,
    into: Path | None,
    keep_deletions: bool,
    initial_state: dict[str, Any] | None,
    log_json: bool,
    **options: Any,
) -> None:
    """Run a capture and print the documents of each transaction.

    It goes on until the last session has its transactions, or for ever; Ctrl-C ends it too. Documents go to
    stdout. A terminal shows a table of all streams meanwhile, and a summary at the end. The connector's
    warnings and errors are shown on stderr; LOG_LEVEL=info shows more.

    A binding has caught up once it is backfilled and has read the changes from before the start of the
    preview, but for those of the last minute. With a state of a moment ago that takes the binding's
    interval."""
    asked = Preview(**options)
    if keep_deletions and not into:
        raise click.UsageError("--keep-deletions is about a database: it goes with --into")
    if asked.pretty and asked.table:
        raise click.UsageError("--pretty and --table are two ways to print documents: give one of them")
    if asked.state_file and initial_state is not None:
        raise click.UsageError("--state and --initial-state are two states: give one of them")
    with _errors():
        catalog = load_catalog(source)
        progress = Progress(level=_log_level(catalog, name), as_json=log_json)
        state = read_state(asked.state_file) if asked.state_file else initial_state
        capture = Capture(
            catalog, name, state=state, keys=keys, on_log=progress.log, log_level=progress.log_level
        )
        refuse_elsewhere(capture.config, capture.environment)
        ended = False
        try:
            with progress, _database(into, keep_deletions) as insert:
                _run(replace(asked, insert=insert).run(capture, _write, progress))
            ended = True
        except SystemExit:
            if sys.stderr.isatty():
                click.echo(_how_to_go_on(asked), err=True)
            raise
        finally:
            if into and (ended or progress.transactions):
                click.echo(f"Wrote {counted(progress.documents, 'document')} into {into}.", err=True)


def _how_to_go_on(asked: Preview) -> str:
    """What is said to somebody who has interrupted a preview."""
    if asked.state_file and asked.state_file.exists():
        return f"The state is kept in {asked.state_file}: the same command goes on from there."
    if asked.state_file:
        return "Nothing was captured yet: the same command begins anew."
    return "No state is kept: with --state FILE, a preview goes on where the one before was interrupted."


@click.group()
def raw() -> None:
    """Ask a connector itself."""


@raw.command()
@_source
@click.option("--capture", "name", help="The capture, if there are several.")
@click.option("--emit-raw", is_flag=True, help="Print the bindings that are found, and write no files.")
@click.option("--flat", is_flag=True, help="Put new collections into the capture's own file.")
def discover(source: Path, name: str | None, emit_raw: bool, flat: bool) -> None:
    """Write the bindings that a connector finds into the specification, and their collections beside it."""
    with _errors():
        capture = _capture(source, name)
        refuse_elsewhere(capture.config, capture.environment)
        if emit_raw:
            _write(_run(raw_lines(capture)))
        else:
            count = _run(write_specifications(capture, flat=flat))
            click.echo(f"Wrote {count} specifications under {source}.")


@raw.command()
@_source
def spec(source: Path) -> None:
    """Print what a connector says of itself."""
    with _errors():
        _write(_run(spec_line(_capture(source, None))))


@contextmanager
def _database(path: Path | None, keep_deletions: bool) -> Iterator[Insert | None]:
    """What puts documents into a file, if there is one. DuckDB is imported only then: that takes a while."""
    if path is None:
        yield None
        return
    try:
        from sandbox.flow.database import Database
    except ModuleNotFoundError as error:
        if error.name != "duckdb":
            raise
        raise FlowError("--into needs the package duckdb, which is not installed: pip install it") from None
    with Database(path, keep_deletions=keep_deletions) as database:
        yield database.write


def _capture(source: Path, name: str | None) -> Capture:
    catalog = load_catalog(source)
    return Capture(catalog, name, on_log=Progress(level=_log_level(catalog, name)).log)


def _log_level(catalog: Catalog, name: str | None) -> str:
    """The least level to show: what was asked for, or what a user should see when nothing was."""
    shards = catalog.captures[catalog.capture_name(name)].shards
    return os.environ.get("LOG_LEVEL") or shards.log_level or _QUIET


def _write(lines: bytes) -> None:
    click.echo(lines, nl=False)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except ConnectorFailed as error:
        if error.is_logged:
            raise SystemExit(1) from error
        raise click.ClickException(str(error)) from error
    except FlowError as error:
        raise click.ClickException(str(error)) from error


def _run(main: Coroutine[Any, Any, T]) -> T:
    """Runs `main` in a loop of its own, and cancels it on SIGINT and SIGTERM."""
    received: list[signal.Signals] = []

    async def interruptible() -> T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None

        def stop(number: signal.Signals) -> None:
            if not received:  # another one would interrupt what the first one cleans up
                task.cancel()
            received.append(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        return await main

    try:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(interruptible())
    except asyncio.CancelledError:
        raise SystemExit(128 + received[0]) from None
