"""What a start loads: what a capture needs, and nothing of the command line or of Google's services."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import estuary_cdk
import orjson
import pytest

from source_stripe_native.flow.start import GOOGLE
from tests.documentation import ROOT

STARTED: Final = """
import runpy, sys
sys.stdin = None
from source_stripe_native.flow import start
start.prepare()
from source_stripe_native import Connector
import source_stripe_native.__main__
print(*sorted({each.partition(".")[0] for each in sys.modules}))
"""
COMMAND: Final = """
import sys
sys.modules[sys.argv.pop()] = None
from source_stripe_native.__main__ import command
command()
"""


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, check=False, capture_output=True, text=True
    )


def test_a_start_loads_neither_the_command_line_nor_googles_client() -> None:
    loaded = run(STARTED).stdout.split()
    assert {"aiohttp", "estuary_cdk", "orjson"} <= set(loaded)
    assert not {"click", "rich", "ruamel", "requests", "urllib3", "cryptography"} & set(loaded)


def test_a_process_that_has_loaded_nothing_yet_answers() -> None:
    """As Flow starts it. A logger that an import makes would be none of the CDK's."""
    request = '{"spec": {"connectorType": "LOCAL"}}\n'
    command = [sys.executable, "-m", "source_stripe_native"]
    process = subprocess.run(command, input=request, cwd=ROOT, check=False, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert orjson.loads(process.stdout)["spec"]["configSchema"]


def test_what_stands_for_googles_client_is_all_that_the_cdk_takes_of_it() -> None:
    taken = {
        match
        for path in Path(estuary_cdk.__file__).parent.rglob("*.py")
        for match in re.findall(r"^from (google\.\S+) import (\w+)", path.read_text(), re.MULTILINE)
    }
    assert taken == set(GOOGLE.items())


@pytest.mark.parametrize("package", ["click", "rich.console", "ruamel.yaml"])
def test_the_commands_say_what_to_install_where_their_extra_is_missing(package: str) -> None:
    done = run(COMMAND, "--help", package)
    assert done.returncode == 1
    assert re.fullmatch(
        rf"The commands need {re.escape(package)}, .* install source-stripe-native\[cli\].*\n", done.stderr
    )


def test_the_image_is_installed_without_the_extra() -> None:
    (sync,) = re.findall(r"poetry\.py (sync .*)", (ROOT / "Dockerfile").read_text())
    assert "extra" not in sync
    project, _, extras = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")
    for package in ("click", "rich", "ruamel.yaml"):
        assert f'"{package} ' not in project
        assert f'"{package} ' in extras.partition("[project.urls]")[0]
