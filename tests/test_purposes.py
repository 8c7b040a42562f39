"""Sets of streams by what they are for: `check` and `permissions` take them, and each is enough for its
questions."""

import pytest
from click.testing import CliRunner

from sandbox.stripe import StripeServer, World
from source_stripe_native.cli.commands import checklist, main
from source_stripe_native.cli.purposes import PURPOSES, names_for
from source_stripe_native.models import STREAMS
from tests.capture import ROWS
from tests.documentation import words_of
from tests.test_command_line import run


@pytest.mark.parametrize("purpose", sorted(PURPOSES.keys() - {"everything"}))
def test_a_set_has_streams_that_exist_in_the_catalogues_order(purpose: str) -> None:
    assert PURPOSES[purpose] < ROWS.keys()
    assert names_for((), (purpose,)) == tuple(each for each in ROWS if each in PURPOSES[purpose])


def test_everything_is_as_if_nothing_was_named() -> None:
    assert names_for(("Prices",), ("finance", "everything")) == ()
    assert names_for((), ()) == ()


def test_finance_and_subscriptions_are_enough_for_the_questions_of_finance() -> None:
    assert words_of("docs/finance.md") & ROWS.keys() <= PURPOSES["finance"] | PURPOSES["subscriptions"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("--for", "finance"), PURPOSES["finance"]),
        (("--for", "connect", "--for", "support"), PURPOSES["connect"] | PURPOSES["support"]),
        (("--for", "support", "TaxCodes"), PURPOSES["support"] | {"TaxCodes"}),
    ],
)
def test_permissions_are_listed_for_sets_and_names_alike(
    arguments: tuple[str, ...], names: frozenset[str]
) -> None:
    output = CliRunner().invoke(main, ["permissions", *arguments]).output
    listed = [line.partition("  ")[0] for line in output.partition("\n\n")[0].splitlines()[1:]]
    needed = checklist([each for each in STREAMS if each.NAME in names])
    assert [each for each in listed if each.strip()] == list(needed)


async def test_check_counts_the_streams_of_a_set(world: World, server: StripeServer) -> None:
    result = await run(server, "check", "--for", "finance")
    assert result.exit_code == 0, result.output
    words = {line.split()[0] for line in result.output.splitlines() if line.strip()}
    assert words & ROWS.keys() == PURPOSES["finance"]
    refused = await run(server, "check", "--for", "finances")
    assert (refused.exit_code, "finance" in refused.output) == (2, True)
