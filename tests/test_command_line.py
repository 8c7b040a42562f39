"""The command line: what a key can capture, and which permissions a key needs."""

import asyncio
import json
import logging
import os
import pty
import re
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.flow import yamls
from sandbox.flow.errors import CatalogError
from sandbox.stripe import PLATFORM, Fault, StripeServer, World
from sandbox.stripe.kinds import KINDS
from source_stripe_native.__main__ import COMPLETION
from source_stripe_native.cli import commands as command_line
from source_stripe_native.cli.commands import checklist, main
from source_stripe_native.cli.config_file import KEY_VARIABLE
from source_stripe_native.cli.survey import seconds_of, survey
from source_stripe_native.config import EndpointConfig
from source_stripe_native.models import STREAMS, Coupons
from source_stripe_native.settings import DEFAULTS
from source_stripe_native.streams.grants import KNOWN, Sureness, new_key_address, sureness
from source_stripe_native.stripe.client import StripeSession
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import UNLIMITED, Capture
from tests.conftest import NOW
from tests.soak import ROOT
from tests.warm_python import python

LOG = logging.getLogger("test")


async def run(server: StripeServer, *arguments: str, key: str | None = None) -> Result:
    environment = {API_BASE_VARIABLE: server.url, KEY_VARIABLE: key or server.world.key}
    # In a thread, as the command has an event loop of its own.
    return await asyncio.to_thread(CliRunner().invoke, main, arguments, env=environment, obj=UNLIMITED)


async def test_a_secret_key_can_capture_every_stream_there_is(world: World, server: StripeServer) -> None:
    for _ in range(3):
        world.create("charge", event=False)
    result = await run(server, "check")
    assert result.exit_code == 0, result.output
    lines = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if line.strip()}
    assert {each.NAME for each in STREAMS} <= lines.keys()
    assert lines["Charges"] == ["yes", "3", "1"]
    assert lines["TaxCodes"][0] != "yes", "discover proposes it as disabled"
    assert "lacks" not in result.output
    assert "A backfill of the streams that are enabled by default takes " in result.output
    assert "A backfill of all streams takes " in result.output


async def test_json_has_what_the_tables_say(world: World, server: StripeServer) -> None:
    for at in range(NOW - 600, NOW):
        world.create("charge", at=at, event=False)
    everything = {row.readable_with for row in KINDS.values()}
    key = world.restrict(everything - {"invoice", "tax_code"})
    tables, found = await run(server, "check", key=key), await run(server, "check", "--json", key=key)
    data = json.loads(found.output)
    assert tables.exit_code == found.exit_code == 1
    table, _, _ = tables.output.partition("\n\n")
    rows = {line.split()[0]: line for line in table.splitlines()}
    assert len(data["streams"]) == data["all"]["streams"] == len(STREAMS)
    assert data["enabled"]["streams"] == sum(not each.DISABLED for each in STREAMS)
    for stream in data["streams"]:
        row = rows[stream["stream"]]
        assert ("yes" in row.split()[1:2]) == stream["enabled"]
        assert stream["readable"] == ("lacks " not in row and stream["reason"] is None), row
        if objects := stream["objects"]:
            shown = {f"{number:,}" for number in objects.values()}
            assert shown <= set(row.split()), row
    assert data["enabled"]["missing_permissions"] == ["Invoices"]
    assert (
        "Tax codes" in " ".join(data["all"]["missing_permissions"])
        or len(data["all"]["missing_permissions"]) > 1
    )
    for part, name in (("enabled", "the streams that are enabled by default"), ("all", "all streams")):
        least, most = (f"{data[part]['requests'][end]:,}" for end in ("least", "most"))
        told = least if least == most else f"{least} to {most}"
        assert f"A backfill of {name} takes {told} requests" in tables.output
    assert (
        f"Account {data['account']}, {data['mode']} mode, API version {data['api_version']}" in tables.output
    )


async def test_a_restricted_key_is_told_which_permissions_to_grant(
    world: World, server: StripeServer
) -> None:
    everything = {row.readable_with for row in KINDS.values()}
    key = world.restrict(everything - {"charge", "invoice"})
    result = await run(server, "check", key=key)
    assert result.exit_code == 1
    _, _, granted = result.output.partition("grant these read permissions")
    assert [line.strip() for line in granted.splitlines() if line.startswith("  ")] == ["Charges", "Invoices"]
    assert key not in result.output
    # In the account's version no key can read the usage records.
    needed = checklist(each for each in STREAMS if each.NAME != "UsageRecords")
    assert new_key_address(needed) in result.output, "the new key has what the old one has too"
    named = await run(server, "check", "--stream", "Prices", key=key)
    assert named.exit_code == 0
    refused = await run(server, "check", "--stream", "InvoiceLineItems", "--json", key=key)
    assert refused.exit_code == 1
    found = json.loads(refused.output)
    (row,) = found["streams"]
    assert (row["readable"], row["objects"]) == (False, None)
    assert found["all"]["missing_permissions"] == ["Invoices"]


async def test_a_permission_of_streams_that_are_disabled_by_default_is_told_and_no_failure(
    world: World, server: StripeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "WIDTH", 80)
    key = world.restrict({row.readable_with for row in KINDS.values()} - {"tax_code"})
    result = await run(server, "check", key=key)
    assert result.exit_code == 0
    assert "For all streams, grant these read permissions" in result.output
    table, _, _ = result.output.partition("\n\n")
    assert {each.NAME for each in STREAMS} <= {line.split()[0] for line in table.splitlines()}
    assert "For the streams that are enabled by default, grant" not in result.output


@pytest.mark.parametrize("named", [(), ("--stream", "Prices")])
async def test_a_key_without_events_is_told_all_that_it_lacks_at_once(
    world: World, server: StripeServer, named: tuple[str, ...]
) -> None:
    everything = {row.readable_with for row in KINDS.values()}
    key = world.restrict(everything - {"event", "price"})
    result = await run(server, "check", *named, key=key)
    assert result.exit_code == 1
    assert (
        "Nothing can be captured with this key: the API key lacks the read permission 'Events'"
        in result.output
    )
    _, _, granted = result.output.partition("grant these read permissions")
    assert [line.strip() for line in granted.splitlines() if line.startswith("  ")] == ["Events", "Prices"]


async def test_a_key_or_a_config_that_does_not_do_gets_one_line(server: StripeServer, tmp_path: Path) -> None:
    wrong = "sk_test_NobodyKnowsThisKey0000"
    config = tmp_path / "config.yaml"
    results = [await run(server, "check", key=wrong), await run(server, "check", key=" ")]
    for content in ("credentials: {access_token: [", "- 1", "credentials: {access_token: 7}", "\x00"):
        config.write_text(content)
        results.append(await run(server, "check", "--config", str(config)))
    for path in (tmp_path / "none.yaml", tmp_path):
        results.append(await run(server, "check", "--config", str(path)))
        assert f"{path} cannot be read: " in results[-1].output
    for result in results:
        assert result.exit_code == 1
        assert len(result.output.strip().splitlines()) == 1
        assert result.output.startswith("Error: ")
        assert wrong not in result.output


async def test_a_config_that_is_encrypted_is_refused(server: StripeServer, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("credentials: {access_token_sops: x}\nsops: {mac: x}\n")
    result = await run(server, "check", "--config", str(config))
    assert (result.exit_code, result.output) == (
        1,
        f"Error: {config} is encrypted: decrypt it with sops, or put the key into STRIPE_API_KEY.\n",
    )


KEY_LINE = "credentials: {access_token: KEY}\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("start_date: 2020-01-01T00:00:00Z", ""),
        ("start_date: '2020-01-01T00:00:00Z'", ""),
        ("start_date: 2020-01-01 00:00:00Z", ""),
        ("start_date: 2020-01-01", "start_date must be a UTC time"),
        ("start_date: 2999-01-01T00:00:00Z", "is in the future"),
        ("advanced: {api_version: 2024-06-20}", ""),
        ("advanced: {api_version: '2024-06-20'}", ""),
        ("advanced: {api_version: 2024}", "advanced.api_version must be a version such as 2024-06-20"),
        ("advanced: {api_versoin: 2024-06-20}", "has no advanced.api_versoin: correct the spelling"),
        ("start_dat: 2020-01-01\nadvanced: {a: 1}", "has no start_dat, advanced.a: correct the spelling"),
        ("advanced: {max_requests_per_second: 0}", "advanced.max_requests_per_second must be a number above"),
        ("capture_connected_accounts: yes", None),
        ("advanced: {connected_accounts: {include: [acct_1]}}", "capture_connected_accounts is false"),
        ("start_date: !!binary aGk=", None),
        ("advanced: {feature_flags: a", "config.yaml, line 3 is not YAML: "),
        ("start_date: 1\nstart_date: 2", "config.yaml, line 3 is not YAML: found duplicate key"),
        ("advanced:\n\tapi_version: 1", "config.yaml, line 3 is not YAML: "),
        ("- 1", "config.yaml, line 2 is not YAML: "),
    ],
)
async def test_a_config_is_refused_by_check_and_by_preview_alike(
    server: StripeServer, tmp_path: Path, content: str, reason: str | None
) -> None:
    """`reason` is what `check` says, None where only the verdict counts."""
    config = tmp_path / "config.yaml"
    config.write_text(f"{KEY_LINE.replace('KEY', server.world.key)}{content}\n")
    result = await run(server, "check", "--config", str(config), "--stream", "Coupons")
    try:
        await Capture(server, ["Coupons"], config=yamls.load(config)).validate()
    except (CatalogError, SystemExit, TypeError):
        assert result.exit_code == 1
    else:
        assert result.exit_code == 0, result.output
    if reason is not None:
        assert reason in result.output
        assert (result.exit_code == 1) == bool(reason)
    if result.exit_code:
        assert len(result.output.strip().splitlines()) == 1


def test_a_stream_that_is_misspelled_gets_the_name_that_is_meant() -> None:
    for arguments in (["permissions", "prise"], ["check", "--stream", "prise"]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2
        assert result.output.splitlines()[-1].endswith("there is no stream named prise: did you mean Prices?")
    assert "lists all streams" in CliRunner().invoke(main, ["permissions", "zzzqq"]).output
    assert "promotioncode" not in CliRunner().invoke(main, ["check", "--help"]).output


async def test_a_retry_is_told_with_what_it_is_about(server: StripeServer) -> None:
    server.faults.set(Fault(path="/v1/account", status=500, times=2))
    result = await run(server, "check", "--stream", "Prices")
    assert result.exit_code == 0, result.output
    (told,) = [line for line in result.stderr.splitlines() if line]
    assert told.startswith("Warning: a request failed in a way that may pass (method GET, path /v1/account, ")


async def test_a_key_of_another_local_stripe_gets_a_hint(server: StripeServer) -> None:
    result = await run(server, "check", key="sk_test_Sandbox0ofAnother00000")
    assert result.exit_code == 1
    assert "set STRIPE_API_BASE to the address that `make stripe` prints" in result.output


async def test_a_config_says_what_to_capture(world: World, server: StripeServer, tmp_path: Path) -> None:
    world.connect()
    world.unavailable.add((PLATFORM, "issuing"))
    for at in (NOW - 100, NOW - 200, NOW - 40 * 86_400):
        world.create("charge", at=at, event=False)
    config = tmp_path / "config.yaml"
    config.write_text(
        f"credentials: {{access_token: {world.key}}}\n"
        "start_date: 2026-05-01T00:00:00Z\n"
        "capture_connected_accounts: true\n"
    )
    result = await run(server, "check", "--config", str(config), "--stream", "Charges", key="unused")
    assert result.exit_code == 0, result.output
    assert "1 connected accounts" in result.output
    assert any(line.split()[:3] == ["Charges", "yes", "2"] for line in result.output.splitlines())
    # Connected accounts may have what the platform lacks.
    result = await run(server, "check", "--config", str(config), "--stream", "CardHolders")
    assert result.exit_code == 0, result.output
    assert any(line.split()[:3] == ["CardHolders", "yes", "?"] for line in result.output.splitlines())


@settings(max_examples=8, deadline=None)
@given(objects=st.integers(0, 400), seconds=st.integers(3600, 4000 * 86_400))
async def test_a_list_that_grew_evenly_is_guessed_to_a_factor_of_two(objects: int, seconds: int) -> None:
    world = World(now=NOW)
    for number in range(objects):
        world.create("coupon", at=NOW - number * seconds // objects, event=False)
    config = EndpointConfig.model_validate(
        {"credentials": {"access_token": world.key}, "start_date": "2010-01-01T00:00:00Z"}
    )
    async with (
        StripeServer(world) as server,
        StripeSession(world.key, base=server.url, settings=UNLIMITED) as http,
    ):
        (coupons,) = (await survey(http, LOG, config, [Coupons])).streams
    assert coupons.count is not None
    assert coupons.count.is_exact or objects > 500
    assert objects / 2 <= coupons.count.objects <= objects * 2
    assert len(server.journal) < 30


def test_a_backfill_takes_as_long_as_its_slowest_limit() -> None:
    requests = {"/v1/charges": 960, "/v1/prices": 96}
    assert seconds_of(requests, 80, 20, DEFAULTS) == pytest.approx(50)
    assert seconds_of(requests, 11, 20, DEFAULTS) == pytest.approx(100)


def test_the_checklist_has_every_permission_that_a_stream_needs() -> None:
    needed = checklist(STREAMS)
    assert {each.PERMISSION for each in STREAMS} <= needed.keys()
    assert list(needed) == sorted(needed)
    result = CliRunner().invoke(main, ["permissions", "Cards", "TaxCodes"])
    rows = [re.split("  +", line.strip()) for line in result.output.splitlines()[1:6]]
    assert rows == [
        ["Connect: Accounts", "connected_account_read", "documented", "every capture"],
        ["Customers", "customer_read", "documented", "Cards"],
        ["Events", "event_read", "documented", "every capture"],
        ["Payment Methods", "payment_method_read", "documented", "Cards"],
        ["Tax codes", "assumed", "TaxCodes"],
    ]
    assert "permissions%5B%5D=rak_customer_read&permissions%5B%5D=rak_event_read" in result.output
    assert result.output.splitlines()[-1] == "Choose the others by hand: Tax codes"


def test_a_new_key_has_the_permissions_chosen_whose_names_are_known() -> None:
    needed = checklist(STREAMS)
    assert KNOWN.keys() <= needed.keys(), "a name that no stream needs is out of date"
    for permission in needed:
        assert (permission in KNOWN) == (sureness(permission) is not Sureness.ASSUMED)
    address = urlsplit(new_key_address(needed))
    assert (address.scheme, address.netloc, address.path) == (
        "https",
        "dashboard.stripe.com",
        "/apikeys/create",
    )
    (name, *chosen) = parse_qsl(address.query, strict_parsing=True)
    assert name == ("name", "Estuary Flow")
    assert chosen == [("permissions[]", f"rak_{KNOWN[each]}") for each in needed if each in KNOWN]
    assert all(re.fullmatch(r"[a-z_]+_read", each) for each in KNOWN.values()), "a capture never writes"
    assert len({*KNOWN.values()}) == len(KNOWN)


async def process(*arguments: str, terminal: bool = False, **environment: str) -> tuple[int | None, str]:
    """The exit code and the output of `python -m source_stripe_native`."""
    ours, theirs = pty.openpty() if terminal else (None, asyncio.subprocess.DEVNULL)
    started = await asyncio.create_subprocess_exec(
        *(python(), "-m", "source_stripe_native", *arguments),
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=theirs,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await started.communicate()
    for each in (ours, theirs) if ours is not None else ():
        os.close(each)
    return started.returncode, output.decode()


async def test_names_are_whole_in_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "WIDTH", 50)
    output = CliRunner().invoke(main, ["permissions", "FinancialConnectionsAccountOwners"]).output
    assert "…" not in output


async def test_the_module_is_the_command_line_where_it_has_arguments() -> None:
    (code, listed), (refused, why) = await asyncio.gather(
        process("permissions", "Prices"), process(terminal=True)
    )
    assert code == 0
    assert "Prices" in listed
    assert refused == 1
    assert why.startswith("This is a capture connector")


async def test_a_shell_completes_commands_options_and_streams() -> None:
    # The script is run without arguments then, on a terminal. What was typed is in its environment.
    code, told = await process(
        terminal=True,
        _SOURCE_STRIPE_NATIVE_COMPLETE="bash_complete",
        COMP_WORDS="source-stripe-native per",
        COMP_CWORD="1",
    )
    assert (code, told) == (0, "plain,permissions\n")
    shell = BashComplete(main, {}, "source-stripe-native", COMPLETION)
    assert "complete -o nosort -F _source_stripe_native_completion source-stripe-native" in shell.source()

    def completed(*typed: str) -> list[str]:
        *words, incomplete = typed
        return [each.value for each in shell.get_completions(words, incomplete)]

    assert completed("check", "--st") == ["--stream"]
    assert completed("permissions", "Prices", "pric") == ["Prices"]
    assert completed("check", "--stream", "Invoice") == [
        each.NAME for each in STREAMS if each.NAME.startswith("Invoice")
    ]
