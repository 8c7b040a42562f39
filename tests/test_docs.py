"""What the documentation says can be done is done here: each command, link, query and config of its pages."""

import re
import shlex
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from sandbox.stripe import StripeServer, seeded
from source_stripe_native.models import STREAMS
from source_stripe_native.stripe.client import API_BASE_VARIABLE
from tests.documentation import (
    ROOT,
    Command,
    anchors,
    blocks,
    codes,
    commands,
    links,
    pages,
    sentences,
    text_of,
)
from tests.shell import Shell, make_checkout
from tests.warm_python import WarmPython

NAMES: Final = [each.NAME for each in STREAMS]
LONGEST_SENTENCE: Final = 35
"""Words."""
INTERRUPTED: Final = (0, 130, -2)
"""Exit codes after Ctrl-C: make and the shell die of the signal."""

# Commands


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    with WarmPython(tmp_path_factory.mktemp("python") / "socket") as python:
        yield python


@pytest.fixture
async def shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: WarmPython
) -> AsyncIterator[Shell]:
    """A shell in a checkout, where the reader has put the key of the local Stripe into a config."""
    make_checkout(tmp_path, python)
    (tmp_path / "my.config.yaml").write_text((ROOT / "config.yaml").read_text())
    own = (ROOT / "test-prices.flow.yaml").read_text().replace("config.yaml", "my.config.yaml")
    (tmp_path / "my.flow.yaml").write_text(own)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with StripeServer(seeded()) as server:
        monkeypatch.setenv(API_BASE_VARIABLE, server.url)
        shell = Shell(tmp_path, server, port)
        yield shell
        await shell.interrupt()


async def runs(shell: Shell, command: Command) -> str:
    """Runs a command to its end, and compares what it writes with what the page shows."""
    code, output = await shell.run(command.text)
    if code not in EXIT_CODES.get(command.text, (0,)):
        return f"exits with {code}:\n{output[-2000:]}"
    return shown(command, output)


async def goes_on(shell: Shell, command: Command) -> str:
    output = await shell.run_until(command.text, "[")
    return "" if "[" in output else f"writes no document:\n{output[-2000:]}"


async def serves(shell: Shell, command: Command) -> str:
    output = await shell.run_until(command.text, "Stripe at ")
    return "" if "Stripe at " in output else f"does not serve:\n{output[-2000:]}"


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
    words = [each for each in shlex.split(command.text, comments=True) if each.endswith((".yaml", ".md"))]
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
    Rule(r"make (lock|image|clean)\b", would_run, "it needs the network or Docker, or takes away what is there"),
    Rule(r"(\.venv/bin/)?pytest\b", finds_tests, "the tests are running already"),
    Rule(r"(make|python -m sandbox) stripe(?!.* -- )", serves, "it serves until Ctrl-C"),
    Rule(r".*sandbox preview(?!.*(--until-caught-up|--limit))", goes_on, "it goes on until Ctrl-C"),
    Rule(r"(docker|flowctl|sops)\b", names_files, "it needs a program that is not here"),
    Rule(r"(git clone|pip install)\b", names_files, "it needs the network"),
)
EXIT_CODES: Final[dict[str, tuple[int, ...]]] = {}
"""Commands whose exit code is not 0, where the page says so."""


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


@pytest.mark.parametrize("page", [each for each in pages() if commands(each)])
async def test_every_command_of_a_page_runs_in_its_order(page: str, shell: Shell) -> None:
    for command in commands(page):
        if wrong := await rule_for(command)(shell, command):
            pytest.fail(f"{command}\n{wrong}")
    codes = await shell.interrupt()
    assert set(codes) <= set(INTERRUPTED), f"Ctrl-C ends commands of {page} with {codes}"


def test_no_rule_is_left_without_a_command() -> None:
    texts = [each.text for page in pages() for each in commands(page)]
    unused = [each.pattern for each in RULES if not any(re.match(each.pattern, text) for text in texts)]
    assert unused == []
    assert [each for each in EXIT_CODES if each not in texts] == []


def test_every_target_that_a_page_names_is_makes() -> None:
    targets = set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (page, line, name)
        for page in pages()
        for line, code in codes(page)
        for name in re.findall(r"\bmake ([a-z]+)", code)
    }
    assert {each for each in named if each[2] not in targets} == set()


# Links and names


def test_every_link_leads_somewhere() -> None:
    broken = []
    for page in pages():
        for line, target in links(page):
            if re.match(r"https?://|mailto:", target):
                continue
            path, _, anchor = target.partition("#")
            place = (ROOT / page).parent / path if path else ROOT / page
            found = place.resolve().relative_to(ROOT.resolve())
            if not place.exists() or (anchor and anchor not in anchors(str(found))):
                broken.append(f"{page}:{line}: {target}")
    assert broken == []


def test_every_file_and_test_that_a_page_names_exists() -> None:
    sources = "\n".join(each.read_text() for each in (ROOT / "tests").rglob("*.py"))
    missing = []
    for page in pages():
        for line, code in codes(page):
            is_path = re.fullmatch(r"(tests|sandbox|source_stripe_native|tools|docs|bench)/[\w./-]+", code)
            if is_path and not (ROOT / code).exists():
                missing.append(f"{page}:{line}: {code}")
            if re.fullmatch(r"test_\w+", code) and not re.search(rf"def {code}\b", sources):
                missing.append(f"{page}:{line}: {code}")
    assert missing == []


def test_every_page_is_in_the_table_of_contents() -> None:
    linked = {target.partition("#")[0] for _, target in links("README.md")}
    assert [each for each in pages() if each.startswith("docs/") and each not in linked] == []


def test_sentences_are_short() -> None:
    exempt = {"docs/architecture.md", "docs/streams.md"}
    read = ["README.md", *(each for each in pages() if each.startswith("docs/") and each not in exempt)]
    long = [
        f"{page}:{line}: {sentence}"
        for page in read
        for line, sentence in sentences(page)
        if len(sentence.split()) > LONGEST_SENTENCE
    ]
    assert long == []
