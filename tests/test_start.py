"""What a start loads: what a capture needs, and nothing of the command line, of Google's services or of a
server."""

import ast
import re
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path
from typing import Final

import estuary_cdk
import orjson
import pytest

from source_stripe_native.flow.process import PLACEHOLDERS
from tests.documentation import ROOT

STARTED: Final = """
import runpy, sys
sys.stdin = None
from source_stripe_native.flow import process
process.prepare_imports()
from source_stripe_native import Connector
import source_stripe_native.__main__
print(*sorted({each.partition(".")[0] for each in sys.modules} | {"aiohttp.web"} & sys.modules.keys()))
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


def test_a_start_loads_neither_the_command_line_nor_googles_client_nor_a_server() -> None:
    loaded = run(STARTED).stdout.split()
    assert {"aiohttp", "estuary_cdk", "orjson"} <= set(loaded)
    unused = {"click", "rich", "ruamel", "requests", "urllib3", "cryptography", "aiohttp.web"}
    assert not unused & set(loaded)


def test_a_process_that_has_loaded_nothing_yet_answers() -> None:
    """As Flow starts it. A logger that an import makes would be none of the CDK's."""
    request = '{"spec": {"connectorType": "LOCAL"}}\n'
    command = [sys.executable, "-m", "source_stripe_native"]
    process = subprocess.run(command, input=request, cwd=ROOT, check=False, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert orjson.loads(process.stdout)["spec"]["configSchema"]


def test_what_stands_for_modules_is_all_that_the_cdk_takes_of_them() -> None:
    root, taken = Path(estuary_cdk.__file__).parent, set()
    # What the CDK has for a server imports more of it, and is not loaded itself.
    for path in set(root.rglob("*.py")) - set(root.glob("capture/webhook/*.py")):
        package = ".".join(["estuary_cdk", *path.relative_to(root).parent.parts])
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                module = resolve_name("." * node.level + (node.module or ""), package)
                taken |= {(module, alias.name) for alias in node.names}
    stands_for = {(module, name) for module, names in PLACEHOLDERS.items() for name in names}
    assert stands_for == {each for each in taken if each[0] in PLACEHOLDERS or each[0].startswith("google.")}


@pytest.mark.parametrize("package", ["click", "rich.console"])
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
