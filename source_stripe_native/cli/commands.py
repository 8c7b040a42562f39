"""`source-stripe-native`: what a key can capture, and which permissions a key needs, for a person.

The connector itself is run by Flow and has no options: see `__main__`.
"""

import asyncio
import json
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem
from rich.console import Console
from rich.table import Table

from source_stripe_native.cli.config_file import KEY_VARIABLE, examined, read_config
from source_stripe_native.cli.endpoints import Endpoint, endpoints_at, needed_types
from source_stripe_native.cli.estimate import Count
from source_stripe_native.cli.purposes import PURPOSES, names_for
from source_stripe_native.cli.survey import (
    Survey,
    as_data,
    backfill_of,
    sum_of,
    survey,
)
from source_stripe_native.config import EndpointConfig, Redaction
from source_stripe_native.errors import ConnectorError
from source_stripe_native.flow.redaction import STRATEGIES, annotations
from source_stripe_native.settings import DEFAULTS, Settings
from source_stripe_native.streams import STREAMS, nearest_stream
from source_stripe_native.streams.connect import Accounts
from source_stripe_native.streams.core import Events
from source_stripe_native.streams.grants import KNOWN, new_key_address, sureness
from source_stripe_native.streams.row import BaseStripeObject
from source_stripe_native.stripe.sessions import open_session

ALL_HISTORY: Final = "2011-01-01T00:00:00Z"
"""The start date of a check without a config: before Stripe was open to anyone."""
WIDTH: Final = 120
"""Columns of a table that no terminal shows."""


REDACTING: Final = (
    "Add this to the write schema of each collection of the capture, at its top level, and publish: "
    "documents are redacted from then on. What was captured before stays as it is. To replace that too, "
    'backfill all bindings in the mode "Dataflow reset".'
)
"""What a change asks for."""


class _StreamName(click.Choice[str]):
    """A stream in any case. A shell is told of its name as it is spelled, which click would not do, and a
    person of the name that is meant, in place of all."""

    def __init__(self) -> None:
        super().__init__([each.NAME for each in STREAMS], case_sensitive=False)

    def get_invalid_choice_message(
        self,
        value: object,
        ctx: click.Context | None,  # noqa: ARG002 - the parameters are those of click's method
    ) -> str:
        near = nearest_stream(str(value))
        hint = f"did you mean {near}?" if near else "`source-stripe-native permissions` lists all streams."
        return f"there is no stream named {value}: {hint}"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        spelled = {each.lower(): each for each in self.choices}
        found = super().shell_complete(ctx, param, incomplete)
        return [CompletionItem(spelled[each.value.lower()]) for each in found]


STREAM: Final = _StreamName()

with_purposes: Final = click.option(
    "--for",
    "purposes",
    type=click.Choice(list(PURPOSES)),
    multiple=True,
    help="Names the streams of a set; may be repeated.",
)


@click.group()
@click.version_option(package_name="source-stripe-native")
def main() -> None:
    """Looks at a Stripe account as the connector sees it. Flow runs the connector itself, without arguments:
    it reads requests on stdin."""


@main.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help=f"The endpoint config, as YAML or JSON. Without one the key is taken from {KEY_VARIABLE}.",
)
@click.option(
    "--stream",
    "names",
    type=STREAM,
    multiple=True,
    metavar="STREAM",
    help="A stream to check; may be repeated. Default: all, with a total of those enabled by default.",
)
@with_purposes
@click.option("--endpoint", metavar="URL", help="Also say what Stripe posts to this address of a capture.")
@click.option("--json", "is_json", is_flag=True, help="Write JSON in place of tables.")
@click.pass_context
def check(
    context: click.Context,
    config: Path | None,
    names: tuple[str, ...],
    purposes: tuple[str, ...],
    endpoint: str | None,
    is_json: bool,
) -> None:
    """Says what a key can capture.

    Asks Stripe for a few pages of each list, and changes nothing. Exits with 1 if a stream that you named
    cannot be read, or if the key lacks a permission for a stream that is enabled by default."""
    numbers: Settings = context.obj or DEFAULTS
    names = names_for(names, purposes)
    streams = [each for each in STREAMS if not names or each.NAME in names]
    try:
        capture_config = _endpoint_config(config)
        found = asyncio.run(_survey(capture_config, streams, endpoint, numbers))
    except ConnectorError as error:
        raise click.ClickException(str(error)) from None
    if is_json:
        click.echo(json.dumps(as_data(found, capture_config, numbers), indent=2))
    else:
        _show(found, capture_config, numbers, of_all=not names)
    refused = any(each.denial for each in found.streams) if names else bool(found.enabled.missing)
    raise SystemExit(1 if refused or found.no_changes else 0)


@main.command()
@click.argument("names", metavar="[STREAM]...", type=STREAM, nargs=-1)
def webhooks(names: tuple[str, ...]) -> None:
    """Lists the event types that Stripe has to post. Default: those of the streams that discover enables."""
    wanted = [each for each in STREAMS if each.NAME in names] if names else _followed_by_default(STREAMS)
    for kind in needed_types(wanted):
        click.echo(kind)


def _followed_by_default(streams: Iterable[type[BaseStripeObject]]) -> list[type[BaseStripeObject]]:
    """The streams that discover enables, but for the one of events, which follows whatever is posted."""
    return [each for each in streams if not each.DISABLED and not each.IS_EVENT]


@main.command()
@click.argument("names", metavar="[STREAM]...", type=STREAM, nargs=-1)
@with_purposes
def permissions(names: tuple[str, ...], purposes: tuple[str, ...]) -> None:
    """Lists the read permissions that a restricted key needs. Default: for all streams."""
    names = names_for(names, purposes)
    wanted = [each for each in STREAMS if not names or each.NAME in names]
    needed = checklist(wanted)
    table = _table("Permission (Read)", "Stripe's name", "How sure", "Needed by")
    for permission, needed_by in needed.items():
        table.add_row(permission, KNOWN.get(permission, ""), sureness(permission), ", ".join(needed_by))
    _console().print(table)
    click.echo(
        "\nPermissions are named as in Stripe's dashboard (Developers > API keys > Create restricted key)."
        "\n  documented  Stripe's permissions references have it"
        "\n  seen        public code uses it, Stripe's references lack it"
        "\n  assumed     Stripe publishes no name: look in the dashboard for one like it\n"
        "`check` says with a key what the key lacks, in Stripe's own words."
    )
    _show_new_key(needed)


@main.command()
@click.argument("strategy", type=click.Choice(list(STRATEGIES)))
def redact(strategy: Redaction) -> None:
    """Prints annotations that redact personal data.

    They are for the write schema of a collection. With advanced.redact_personal_data in the endpoint config,
    discover writes them there itself."""
    click.echo(json.dumps(annotations(strategy), indent=2))
    click.echo(REDACTING, err=True)


def checklist(streams: Iterable[type[BaseStripeObject]]) -> dict[str, list[str]]:
    """The permissions that capturing `streams` takes, in alphabetical order, each with who needs it."""
    needed: dict[str, list[str]] = {
        Accounts.PERMISSION: ["every capture"],
        Events.PERMISSION: ["every capture"],
    }
    for each in streams:
        for permission in dict.fromkeys(one.PERMISSION for one in (each, *each.found_through())):
            needed.setdefault(permission, []).append(each.NAME)
    return dict(sorted(needed.items()))


async def _survey(
    config: EndpointConfig, streams: Sequence[type[BaseStripeObject]], url: str | None, numbers: Settings
) -> Survey:
    log = logging.Logger("check", logging.WARNING)  # noqa: LOG001 - of this call alone
    log.addHandler(handler := logging.StreamHandler())
    handler.setFormatter(_Line())
    async with open_session(config, numbers, numbers.unary_patience) as http:
        found = await survey(http, log, config, streams)
        if url is None:
            return found
        wanted = [each.stream for each in found.streams if not each.denial]
        if len(streams) == len(STREAMS):
            wanted = _followed_by_default(wanted)
        return replace(found, endpoints=(url, await endpoints_at(url, http, log, wanted)))


class _Line(logging.Formatter):
    """A line of the log for a person: the message, and what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        about = record.args if isinstance(record.args, dict) else {}
        told = ", ".join(f"{name} {each}" for name, each in about.items())
        return f"Warning: {record.msg}{told and f' ({told})'}"


def _endpoint_config(path: Path | None) -> EndpointConfig:
    """The endpoint config of a file, or one with the key of the environment. Raises ConnectorError."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if path is not None:
        return read_config(path, key)
    if not key:
        raise ConnectorError(
            f"there is no key: name a config by --config FILE, or put the key into {KEY_VARIABLE}."
        )
    return examined({"credentials": {"access_token": key}, "start_date": ALL_HISTORY})


def _console() -> Console:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = WIDTH
    return console


def _table(*titles: str) -> Table:
    """A narrow terminal breaks names in the middle: to be copied, they have to be whole."""
    table = Table(box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, no_wrap=title == "Stream", overflow="fold")
    return table


def _show(found: Survey, config: EndpointConfig, numbers: Settings, *, of_all: bool) -> None:
    """`of_all` says that no stream was named: what discover enables then has a column and a total."""
    console = _console()
    console.print(f"Account {found.account_id}, {found.mode} mode, API version {found.version or 'unknown'}")
    if found.connected is not None:
        console.print(f"{found.connected:,} connected accounts, whose objects are not counted below")
    console.print(_stream_table(found))
    if found.endpoints is not None:
        _show_endpoints(console, *found.endpoints)
    if found.no_changes is not None:
        console.print(f"\nNothing can be captured with this key: {found.no_changes.reason}")
    parts = {"the streams above": found}
    if of_all:
        parts = {"the streams that are enabled by default": found.enabled, "all streams": found}
    told: set[str] = set()
    for what, part in parts.items():
        if missing := [name for name in part.missing if name not in told]:
            also = " also" if told else ""
            console.print(f"\nFor {what}, grant{also} these read permissions to the key, or use another one:")
            for name in missing:
                console.print(f"  {name}")
            # The new key has what this one has, too.
            granted = [each for each in found.streams if each.denial is None]
            lacking = [each for each in part.streams if each.denial and each.denial.permissions]
            _show_new_key(checklist(each.stream for each in (*granted, *lacking)))
            told.update(missing)
    console.print()
    for what, part in parts.items():
        if (backfill := backfill_of(part, config, numbers)) is not None:
            console.print(
                f"A backfill of {what} takes {_count(backfill.requests)} "
                f"{'request' if backfill.requests.most == 1 else 'requests'}: "
                f"{_time(*backfill.seconds)} at {backfill.total:g} requests a second in all and "
                f"{backfill.per_endpoint:g} to each endpoint."
            )


def _stream_table(found: Survey) -> Table:
    """A line for each stream. What it lacks takes the place of its numbers: 80 columns have no room for
    both."""
    numbers_of = {
        each.stream: (_count(each.count), _count(sum_of(each.requests)) if each.requests else "")
        for each in found.streams
        if each.denial is None
    }
    titles = ("Objects", "Requests")
    widths = [max(len(row[place]) for row in (titles, *numbers_of.values())) for place in (0, 1)]

    def aligned(row: tuple[str, str]) -> str:
        return f"{row[0]:>{widths[0]}}  {row[1]:>{widths[1]}}"

    table = _table("Stream", "Enabled", aligned(titles))
    for each in found.streams:
        if each.denial is None:
            last = aligned(numbers_of[each.stream])
        else:
            lacks = ", ".join(each.denial.permissions)
            last = f"lacks {lacks}" if lacks else each.denial.reason
        table.add_row(each.stream.NAME, "yes" if each.is_enabled else "", last)
    return table


def _show_endpoints(console: Console, url: str, endpoints: Sequence[Endpoint] | str) -> None:
    if isinstance(endpoints, str):
        console.print(f"\nThe key may not say what Stripe posts to {url}: {endpoints}")
    elif not endpoints:
        console.print(f"\nStripe posts nothing to {url}: add an event destination with this address.")
    for endpoint in () if isinstance(endpoints, str) else endpoints:
        console.print(f"\nThe event destination {endpoint.words()}.")


def _show_new_key(permissions: Iterable[str]) -> None:
    """Where a key with these permissions, as the dashboard calls them, is made."""
    wanted = list(permissions)
    click.echo(f"\nMake a key with permissions chosen in advance:\n{new_key_address(wanted)}")
    if by_hand := [each for each in wanted if each not in KNOWN]:
        click.echo(f"Choose the others by hand: {', '.join(by_hand)}")


def _count(count: Count | None) -> str:
    if count is None:
        return "?"
    return f"{count.least:,}" if count.is_exact else f"{count.least:,} to {count.most:,}"


def _time(least: float, most: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60), ("s", 1)):
        if most >= 2 * length or unit == "s":
            first, last = (max(1, round(seconds / length)) for seconds in (least, most))
            return f"{last} {unit}" if first == last else f"{first} to {last} {unit}"
    raise AssertionError("a second is the shortest unit")
