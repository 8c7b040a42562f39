"""What is written by hand in the README and in docs/ agrees with the code: numbers, names and tables."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatch
from typing import Any, Final

import click
import pytest
from pydantic import BaseModel, TypeAdapter

from sandbox.flow.cli import preview
from sandbox.stripe import StripeServer, World, seeded
from sandbox.stripe.cli import stripe
from sandbox.stripe.kinds import KINDS
from source_stripe_native.config import DEFAULT_HISTORY, DEFAULT_INTERVAL, DEFAULT_WINDOW
from source_stripe_native.models import STREAMS, EndpointConfig, ResourceConfig
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.state.windows import RETENTION
from source_stripe_native.streams.event_types import RENAMED, Renamed
from source_stripe_native.streams.redacted import PLACES, SECRET
from tests.capture import Capture
from tests.conftest import NOW
from tests.documentation import ROOT, blocks, rows, text_of
from tests.test_due_days import CASES as BY_CLOCK
from tests.test_due_days import places
from tests.test_further_streams import IN_DEMAND
from tests.test_streams import FURTHER, HELD
from tools.describe_streams import changes_of
from tools.facts import stripe_facts

NAMES: Final = {each.NAME for each in STREAMS}
INFERRED: Final = 1_000
"""Places of a schema that Flow infers."""


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def iso(value: Any) -> str:
    return TypeAdapter[Any](type(value)).dump_json(value).decode().strip('"')


def test_the_readme_counts_the_streams() -> None:
    enabled = sum(not each.DISABLED for each in STREAMS)
    assert f"{len(STREAMS)} streams, {enabled} of them enabled by default" in text_of("README.md")


class TestDocument:
    @pytest.fixture
    def world(self) -> World:
        return seeded(now=NOW)

    async def test_the_readme_shows_a_document_as_it_is_captured(self, server: StripeServer) -> None:
        (block,) = [each for each in blocks("README.md") if each.language == "json"]
        shown = json.loads(block.text)
        capture = await Capture(server, ["Prices"]).backfill()
        (document,) = [each for _, each in capture.documents if each["id"] == shown["id"]]
        assert shown == document


WORDS: Final = {1: "one", 4: "four", 5: "five", 6: "six", 7: "seven", 10: "ten", 11: "eleven", 12: "twelve"}
SECONDS, MINUTES, HOURS = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
NUMBERS: Final = [
    ("README.md", f"within {WORDS[DEFAULT_INTERVAL // MINUTES]} minutes and 15 seconds, by default"),
    ("docs/freshness.md", f"up to {WORDS[DEFAULTS.lag // SECONDS]} seconds before Stripe's present time"),
    ("docs/freshness.md", f"visible up to {WORDS[DEFAULTS.overlap // MINUTES]} minutes late"),
    ("docs/freshness.md", f"objects of the last {WORDS[DEFAULTS.restored_overlap // 60]} minutes may"),
    ("docs/freshness.md", f"windows of about {DEFAULTS.target:,} events"),
    ("docs/freshness.md", f"Stripe keeps events for {RETENTION.days} days"),
    (
        "docs/freshness.md",
        f"or {WORDS[DEFAULTS.child_snapshot_interval // HOURS]} hours for lists of children",
    ),
    ("docs/freshness.md", f"more than {DEFAULTS.remembered_of_list:,} objects are not remembered"),
    ("docs/freshness.md", f"no more than {DEFAULTS.remembered_objects:,} objects"),
    ("docs/freshness.md", f"remembered for {WORDS[DEFAULTS.lookup_retention // MINUTES]} minutes"),
    ("docs/freshness.md", f"a window has at least {WORDS[DEFAULTS.least_listed]} of them"),
    ("docs/reading-the-data.md", f"up to {DEFAULTS.max_nested:,} objects"),
    (
        "docs/guarantees.md",
        f"at most {DEFAULTS.unwritten_bytes // 1_000_000} MB are read and not yet written",
    ),
    ("docs/limits.md", f"The last {WORDS[DEFAULTS.overlap // MINUTES]} minutes are read again"),
    ("docs/limits.md", f"compared lists of more than {DEFAULTS.remembered_of_list:,} objects"),
    ("docs/limits.md", f"has {DEFAULTS.max_nested:,} objects at most"),
    ("docs/streams.md", f"The lag of {WORDS[DEFAULTS.lag // SECONDS]} seconds"),
]
"""Numbers of the settings that pages tell."""


@pytest.mark.parametrize(("page", "words"), NUMBERS)
def test_a_number_in_a_page_is_that_of_the_settings(page: str, words: str) -> None:
    assert words in " ".join(text_of(page).split())


def test_each_field_that_is_redacted_is_documented() -> None:
    table = rows("docs/reading-the-data.md", "| what is redacted | fields |")
    documented = {name for _, names in table for name in code(names)}
    secret = {name for places in PLACES.values() for name, place in places.items() if place == SECRET}
    assert documented == {"client_secret", *secret}


def test_the_changelog_counts_the_streams_of_the_reference_and_the_further_ones() -> None:
    text = " ".join(text_of("CHANGELOG.md").split())
    reference = [each for each in NAMES if each not in {"Discounts", *FURTHER}]
    assert f"All {len(reference)} streams of the reference catalogue" in text
    assert f"{len(FURTHER)} further streams, such as" in text
    assert f"{WORDS[len(IN_DEMAND)].capitalize()} are enabled by default" in text


def test_the_page_says_what_the_further_lists_of_a_quiet_account_cost() -> None:
    lists = sum(
        len(each.VARIANTS)
        for each in STREAMS
        if each.NAME in IN_DEMAND and each.PER_ACCOUNT and not each.PARENT and (each.POLLS or each.SNAPSHOTS)
    )
    rounds = HOURS / DEFAULT_INTERVAL
    assert DEFAULTS.snapshot_interval == DEFAULTS.longest_poll_wait == HOURS
    assert (
        f"{WORDS[lists].capitalize()} further lists are read once an hour, which adds {lists / rounds:.2f} "
        in text_of("docs/guarantees.md")
    )


def test_the_streams_whose_documents_are_always_new_are_documented() -> None:
    (stream,) = [each.NAME for each in STREAMS if each.BACKFILL_OP == "c"]
    assert f"Documents of {stream} always have it" in text_of("docs/reading-the-data.md")


def test_the_page_about_the_bench_says_what_it_takes() -> None:
    makefile, text = text_of("Makefile"), " ".join(text_of("bench/README.md").split())
    (takes,) = re.findall(r"measure everything in (about \d+ minutes)", makefile)
    assert f"in {takes}." in text
    (at_most,) = re.findall(r"AT_MOST: Final = ([\d_]+)", text_of("bench/__main__.py"))
    assert f"all of them together by {int(at_most) // 60} minutes" in text
    (parts,) = re.findall(r"The parts are (.*?);", text)
    (targets,) = re.findall(r"^BENCHES := (.*)$", makefile, re.MULTILINE)
    assert code(parts) == targets.split()


def test_each_table_of_the_bench_says_when_its_figures_were_seen() -> None:
    sections = text_of("bench/README.md").split("\n## ")[1:]
    tables = [" ".join(each.split()) for each in sections if "| target |" in each]
    assert tables
    assert [each for each in tables if not re.search(r"Seen with `[0-9a-f]{7}`.* on 20\d\d-", each)] == []


def test_the_query_of_amounts_has_the_currencies_of_the_table() -> None:
    table = {
        row[0]: row[1].split(", ") for row in rows("docs/reading-the-data.md", "| decimals | currencies |")
    }
    (query,) = [each.text for each in blocks("docs/reading-the-data.md") if "currency) IN" in each.text]
    cases = re.findall(r"IN \((.*?)\) THEN (\d+)", query)
    assert {factor: re.findall(r"\w+", names) for names, factor in cases} == {
        "1": table["none"],
        "1000": table["three"],
    }


def fields(model: type[BaseModel], path: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{path}{name}.")
        elif name != "meta_":
            yield f"{path}{name}"


@pytest.mark.parametrize(
    ("first", "model"), [("field", EndpointConfig), ("field of a binding", ResourceConfig)]
)
def test_each_field_of_the_config_is_documented_with_its_default(first: str, model: type[BaseModel]) -> None:
    table = rows("docs/configuration.md", f"| {first} | meaning | default |")
    documented = {code(name)[0]: default for name, _, default in table}
    assert documented.keys() == set(fields(model))
    daily = sorted(each.NAME for each in STREAMS if each.SCHEDULE)
    limits = (
        f"{DEFAULTS.requests_live:g} with a live key, {DEFAULTS.requests_test:g} with a test key; "
        f"{DEFAULTS.requests_per_endpoint:g} for each endpoint and account"
    )
    expected = {
        "start_date": f"{DEFAULT_HISTORY.days} days before the start",
        "capture_connected_accounts": "`false`",
        "advanced.incremental_window_size": f"`{iso(DEFAULT_WINDOW)}`",
        "advanced.max_requests_per_second": limits,
        "advanced.redact_personal_data": "`none`",
        "interval": f"`{iso(DEFAULT_INTERVAL)}`",
        "schedule": f"blank; `0 0 * * *`, which is daily, for {', '.join(daily[:-1])} and {daily[-1]}",
    }
    assert documented == documented | {name: expected[name] for name in documented.keys() & expected.keys()}


def test_each_way_in_which_changes_are_found_is_explained() -> None:
    used = {way for each in STREAMS for way in changes_of(each).split(", ")}
    explained = {row[0] for row in rows("docs/freshness.md", "| way | what it finds | how soon |")}
    assert {re.sub(r"the last \d+ days", "the last N days", way) for way in used} == explained


def test_each_stream_that_follows_events_of_other_objects_is_documented() -> None:
    documented = [
        name
        for row in rows("docs/freshness.md", "| stream | read again after events of |")
        for name in row[0].split(", ")
    ]
    assert sorted(documented) == sorted(each.NAME for each in STREAMS if each.RELATED_EVENTS)


def test_each_field_that_the_clock_changes_is_documented() -> None:
    table = rows("docs/freshness.md", "| stream | time | what changes |")
    documented = {(stream, code(time)[0]): code(changed) for stream, time, changed in table}
    assert documented == {(case.stream, case.field): [*case.after] for case in BY_CLOCK}


def test_each_event_type_that_older_versions_name_differently_is_documented() -> None:
    table = [
        (before, code(event), code(now)[0])
        for before, event, now in rows("docs/freshness.md", "| before | event | is followed as |")
    ]

    def is_about(row: tuple[str, list[str], str], renamed: Renamed) -> bool:
        before, events, now = row
        is_named = any(fnmatch(renamed.was, event) for event in events)
        return before == renamed.until and is_named and fnmatch(renamed.now, now)

    assert [renamed for renamed in RENAMED if not any(is_about(row, renamed) for row in table)] == []
    for row in table:
        for event in row[1]:
            assert any(is_about((row[0], [event], row[2]), renamed) for renamed in RENAMED), event


def test_the_streams_with_more_places_than_flow_infers_are_named() -> None:
    schemas = stripe_facts()["schemas"]
    found = {row.NAME: schemas.get(KINDS[HELD[row.NAME].kind].object_name, {}) for row in STREAMS}
    of_each = {name: {place for place, _ in places(schema)} for name, schema in found.items()}
    too_many = {"Events"} | {name for name, each in of_each.items() if len(each) > INFERRED}
    assert len(set().union(*of_each.values())) > INFERRED, "of all kinds"
    text = text_of("docs/reading-the-data.md").partition(f"**More than {INFERRED:,} fields.**")[2]
    assert {name for name in re.findall(r"\w+", text.partition("\n\n")[0]) if name in NAMES} == too_many


def test_each_number_of_days_for_which_a_list_is_read_again_is_documented() -> None:
    """Where nothing else tells: a change of an older object is not found."""
    documented = dict.fromkeys(NAMES, "")
    for names, exception in rows("docs/freshness.md", "| stream | exception |"):
        documented |= dict.fromkeys(names.split(", "), exception)
    for row in STREAMS:
        if row.RELIST and not row.ONLY_BY_CLOCK:
            assert f"last {WORDS.get(row.RELIST.days, row.RELIST.days)} days" in documented[row.NAME]


@pytest.mark.parametrize(
    ("page", "header"),
    [
        ("docs/freshness.md", "| stream | exception |"),
        ("docs/reading-the-data.md", "| stream | what it has |"),
    ],
)
def test_a_table_of_exceptions_names_streams_that_exist(page: str, header: str) -> None:
    named = {name for row in rows(page, header) for name in row[0].split(", ")}
    assert named
    assert named <= NAMES


def options(command: click.Command) -> set[str]:
    return {name for each in command.params if isinstance(each, click.Option) for name in each.opts}


def test_the_options_of_the_local_stripe_are_documented() -> None:
    table = rows("docs/try-it.md", "| option of the local Stripe | what it does |")
    assert {code(name)[0].split()[0] for name, _ in table} == options(stripe) - {"--host", "--port"}


def test_the_options_of_preview_that_flowctl_lacks_are_documented() -> None:
    table = rows("docs/try-it.md", "| option of preview | what it does |")
    of_flowctl = {"--source", "--name", "--sessions", "--delay", "--timeout", "--initial-state"}
    of_flowctl |= {"--output-state", "--output-apply", "--log-json"}
    assert {code(name)[0].split()[0] for name, _ in table} == options(preview) - of_flowctl


def test_the_architecture_names_every_module() -> None:
    named = {*re.findall(r"`(\w+)`", text_of("docs/architecture.md"))}
    package = ROOT / "source_stripe_native"
    families = package / "streams"  # a file for each, which the page does not list
    modules = {each.stem for each in package.rglob("*.py") if each.parent != families}
    assert modules <= named


def test_the_streams_that_cannot_be_refreshed_by_ids_are_documented() -> None:
    names = [row.NAME for row in STREAMS if row.named_by() is None]
    listed = f"{', '.join(sorted(names)[:-1])} and {max(names)} take a range only"
    assert listed in " ".join(text_of("docs/operate.md").split())
