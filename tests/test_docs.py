"""Each command of the documentation is run, or looked at as far as a test can."""

import re
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import pytest

from sandbox.stripe import StripeServer, seeded
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import ROWS
from tests.documentation import (
    ROOT,
    Command,
    blocks,
    codes,
    commands,
    commands_of,
    pages,
    words_of,
)
from tests.shell import READABLE, Shell, free_port, make_checkout
from tests.warm_python import warm_python

NAMES: Final = set(ROWS)
LANGUAGES: Final = {"", "console", "json", "mermaid", "python", "sql", "text", "yaml"}
"""Of blocks. Commands are in those of `console`."""
INTERRUPTED: Final = (0, 130, -2)
"""Exit codes after Ctrl-C: make and the shell die of the signal."""


@pytest.fixture
async def shell(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shell]:
    """A shell in a checkout, of a reader who has the page before him."""
    make_checkout(tmp_path, warm_python(), {"Prices"} | (words_of(page) & NAMES))
    world = seeded()
    async with StripeServer(world) as server:
        monkeypatch.setenv(API_BASE_VARIABLE, server.url)
        port = free_port()
        shell = Shell(tmp_path, server, port, free_port(but_for=port), world.restrict(READABLE))
        yield shell
        await shell.interrupt()


async def runs(shell: Shell, command: Command) -> str:
    """Runs a command to its end, and compares what it writes with what the page shows."""
    code, output = await shell.run(command.text)
    if code != next((code for pattern, code in EXIT_CODES.items() if re.search(pattern, command.text)), 0):
        return f"exits with {code}:\n{output[-2000:]}"
    return shown(command, output)


async def goes_on(shell: Shell, command: Command) -> str:
    output = await shell.run_until(command.text, '["')
    return "" if '["' in output else f"writes no document:\n{output[-2000:]}"


async def serves(shell: Shell, command: Command) -> str:
    await shell.interrupt()  # the port is one
    output = await shell.run_until(command.text, "Stripe at ")
    return "" if "Stripe at " in output else f"does not serve:\n{output[-2000:]}"


async def lists(shell: Shell, command: Command) -> str:
    """Has discover print what it finds, in place of writing it."""
    code, output = await shell.run(f"{command.text} --emit-raw")
    return "" if not code and '"recommendedName"' in output else f"exits with {code}:\n{output[-2000:]}"


async def would_run(shell: Shell, command: Command) -> str:
    """Has make say what it would do."""
    make, *words = shlex.split(command.text, comments=True)
    code, output = await shell.run(shlex.join([make, "--dry-run", *words]))
    return f"make refuses it:\n{output}" if code else ""


async def finds_tests(shell: Shell, command: Command) -> str:
    """Looks for the files that are tested, and for the names that select tests in them."""
    words = shlex.split(command.text, comments=True)
    files = [each for each in words if each.startswith("tests")]
    missing = [each for each in files if not (shell.checkout / each).exists()]
    if not files or missing:
        return f"there is no {', '.join(missing) or 'file to test'}"
    if "-k" in words:
        name = words[words.index("-k") + 1].strip("[]")
        if not any(name in (shell.checkout / each).read_text() for each in files) and name not in NAMES:
            return f"no test is named {name}"
    return ""


async def names_files(shell: Shell, command: Command) -> str:
    """Looks for the files of the checkout that the command names."""
    words = [
        each for each in shlex.split(command.text, comments=True) if each.endswith((".yaml", ".md", ".py"))
    ]
    missing = [each for each in words if not (shell.checkout / each).exists()]
    return f"there is no {', '.join(missing)}" if missing else ""


Check = Callable[[Shell, Command], Awaitable[str]]
"""Returns what is wrong with a command, empty where nothing is."""


@dataclass(frozen=True)
class Rule:
    """What is done with the commands that match the `pattern`, in place of running them, and why."""

    pattern: str
    check: Check
    reason: str


RULES: Final = (
    Rule(r"make (test|check|audit|fmt|bench|soak)\b", would_run, "it takes minutes"),
    Rule(
        r"make (lock|image|clean)\b", would_run, "it needs the network or Docker, or takes away what is there"
    ),
    Rule(r"(\.venv/bin/)?pytest\b", finds_tests, "the tests are running already"),
    Rule(r"(make|python -m sandbox) stripe(?!.* -- )", serves, "it serves until Ctrl-C"),
    Rule(
        r"(make preview WEBHOOKS|.*sandbox preview(?!.*(--until-caught-up|--limit)))",
        goes_on,
        "it goes on until Ctrl-C",
    ),
    Rule(r".*sandbox raw discover --source test\.", lists, "it writes YAML for seven CPU seconds"),
    Rule(r"python tools/extract_facts\.py\b", names_files, "it downloads two versions of Stripe's SDK"),
    Rule(r"(docker|flowctl|sops)\b", names_files, "it needs Docker, sops, or an account at Estuary"),
)
EXIT_CODES: Final = {
    "check --config my": 1,  # the reader's key lacks most permissions
    "check --stream Prices --stream Charges": 1,  # the page is about a permission that is missing
}
"""Of commands that match the pattern, where it is not 0."""


def rule_for(command: Command) -> Check:
    return next((each.check for each in RULES if re.match(each.pattern, command.text)), runs)


def shown(command: Command, output: str) -> str:
    """Whether the lines that the page shows are in the output, in their order: `...` stands for anything, and
    a number for any other."""
    lines = iter([" ".join(each.split()) for each in output.splitlines()])
    for line in command.output:
        pattern = re.escape(" ".join(line.split())).replace(re.escape("..."), ".*")
        pattern = re.sub(r"\d+", r"\\d+", pattern)
        if not any(re.fullmatch(pattern, each) for each in lines):
            return f"does not write {line!r}, but:\n{output[-2000:]}"
    return ""


def left_over(shell: Shell) -> list[str]:
    """What commands have made in the checkout that git does not ignore."""
    ignored = [each.rstrip("/") for each in (ROOT / ".gitignore").read_text().split()]
    names = {each.name for each in shell.checkout.iterdir()} - {each.name for each in ROOT.iterdir()}
    return sorted(name for name in names if not any(fnmatch(name, pattern) for pattern in ignored))


@pytest.mark.parametrize("page", [each for each in pages() if commands(each)])
async def test_every_command_of_a_page_runs_in_its_order(page: str, shell: Shell) -> None:
    for block in blocks(page):
        if block.language == "yaml" and block.file:
            shell.write(block.file, block.text)
        for command in commands_of(block) if block.language == "console" else ():
            if wrong := await rule_for(command)(shell, command):
                pytest.fail(f"{command}\n{wrong}")
    ends = await shell.interrupt()
    assert left_over(shell) == [], "git would offer them for a commit"
    assert set(ends) <= set(INTERRUPTED), f"Ctrl-C ends commands of {page} with {ends}"


def test_every_command_is_in_a_block_that_is_run() -> None:
    languages = {each.language: f"{page}:{each.line}" for page in pages() for each in blocks(page)}
    assert {name: place for name, place in languages.items() if name not in LANGUAGES} == {}


def test_no_rule_is_left_without_a_command() -> None:
    texts = [each.text for page in pages() for each in commands(page)]
    assert [each.pattern for each in RULES if not any(re.match(each.pattern, text) for text in texts)] == []
    assert [each for each in EXIT_CODES if not any(re.search(each, text) for text in texts)] == []


def test_every_target_that_a_page_names_is_makes() -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (page, line, name)
        for page in pages()
        for line, code in codes(page)
        for name in re.findall(r"\bmake ([a-z]+)", code)
    }
    assert {each for each in named if each[2] not in targets} == set()
