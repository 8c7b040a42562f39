"""What make runs for a person with a plain shell, and with which Stripe."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WITH_STRIPE = "python -m sandbox stripe"


def make(*arguments: str) -> list[str]:
    """The lines that make prints."""
    kept = ("HOME", "PATH")  # and nothing that an outer make hands on
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    command = ["make", "--no-print-directory", *arguments]
    made = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return made.stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "runs"),
    [
        (
            ["preview"],
            f"{WITH_STRIPE} -- python -m sandbox preview --source test-prices.flow.yaml --until-caught-up "
            "--table",
        ),
        (
            ["preview", "SOURCE=test.flow.yaml", "STRIPE=--demo", "FLAGS=--pretty"],
            f"{WITH_STRIPE} --demo -- python -m sandbox preview --source test.flow.yaml --pretty",
        ),
        (
            ["preview", "SOURCE=my.flow.yaml"],
            "python -m sandbox preview --source my.flow.yaml --until-caught-up --table",
        ),
        (
            ["preview", "FLOWCTL=flowctl"],
            f"{WITH_STRIPE} -- flowctl preview --source test-prices.flow.yaml --delay 1s --timeout 8s",
        ),
        (["discover"], f"{WITH_STRIPE} -- python -m sandbox raw discover --source test.flow.yaml"),
        (["discover", "SOURCE=my.flow.yaml"], "python -m sandbox raw discover --source my.flow.yaml"),
        (["stripe", "STRIPE=--port 8080"], f"{WITH_STRIPE} --port 8080"),
    ],
)
def test_own_specification_goes_to_stripe_itself_and_the_projects_to_a_local_one(
    arguments: list[str], runs: str
) -> None:
    last = " ".join(make("--dry-run", *arguments)[-1].split())
    assert last == f'PATH="{ROOT}/.venv/bin:$PATH" {runs}'


@pytest.mark.parametrize("command_line", [("sandbox", "stripe"), ("source_stripe_native", "check")])
def test_without_the_virtual_environment_one_line_says_what_to_do(command_line: tuple[str, str]) -> None:
    command = [sys.executable, "-S", "-m", *command_line]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    (line,) = ran.stderr.splitlines()
    assert "make help" in line
    assert "source .venv/bin/activate" in line


def test_every_target_has_a_line_of_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (phony,) = [line.split()[2:] for line in makefile.splitlines() if line.startswith(".PHONY: ")]
    lines = make("help")
    assert sorted(line.split()[1] for line in lines) == sorted(phony)
    assert [line for line in lines if len(line) > 80] == []
