"""The API key is nowhere but in the requests to Stripe: not in the log at its highest level, in an error, a
document, the state, a file or a process' arguments, and not even where an answer repeats it.

The processes run side by side, each with a way to end.
"""

import asyncio
import re
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import orjson
import pytest

from sandbox.stripe import Fault, StripeServer, World
from sandbox.stripe.kinds import KINDS
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import Capture, Json
from tests.conftest import NOW
from tests.soak import ROOT, failures
from tests.test_bad_input import connector
from tests.test_streams import ALL

SECRET = "51NobodyMayEverSeeThis0000000000"
KEY = f"rk_test_{SECRET}"
PARTS = (SECRET, SECRET[:12], SECRET[-12:])
"""What must not be seen: Stripe itself shows but the last four characters of a key."""
PROGRAM = """
from datetime import timedelta
from source_stripe_native.__main__ import Settings, main
limits = {each: 100_000 for each in ("requests_live", "requests_test", "requests_per_endpoint")}
times = {"unary_patience": timedelta(seconds=1), "flush_interval": timedelta(milliseconds=100)}
main(Settings(key_patience=timedelta(), **times, **limits))
"""
"""The connector, but that discover has little patience, and without what it owes to Stripe's limits."""
COLD = {"an interrupt", "discover"}
"""The ways whose process has a Python of its own, so that the system shows its arguments."""
ECHOES = (
    Fault(path="/v1/customers*", status=500, message=f"Bearer {KEY} failed", times=2),
    Fault(path="/v1/charges", status=429, message=f"too many of {KEY}", headers={"x-key": KEY}, times=1),
    Fault(path="/v1/prices", status=409, type=KEY, code=KEY, message=KEY, times=1),
)

End = Callable[[asyncio.subprocess.Process], None] | None
"""What to do to a process that captures already."""


def seen(what: str, text: str | bytes) -> list[str]:
    text = text if isinstance(text, str) else text.decode(errors="replace")
    return [
        f"{what}: ...{text[max(0, at - 80) : at + 80]}..." for part in PARTS if (at := text.find(part)) >= 0
    ]


def temporary(path: Path) -> str:
    path.mkdir()
    return str(path)


async def told(
    request: Json, url: str, files: Path, end: End, *, cold: bool = False
) -> tuple[int | None, list[str]]:
    """Runs a process to its end, `end` being called once it has captured something. Returns its exit code,
    and where the key was seen: in its arguments too, if it is a `cold` one."""
    found: list[str] = []
    environment = {API_BASE_VARIABLE: url, "TMPDIR": temporary(files)}
    async with connector(environment, ("-c", PROGRAM), cold=cold) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        log = asyncio.create_task(process.stderr.read())
        process.stdin.write(orjson.dumps(request) + b"\n")
        if "open" not in request:
            process.stdin.close()
        found += arguments(process.pid) if cold else []
        async for line in process.stdout:
            found += seen("on stdout", line)
            if end and line.startswith(b'{"captured"'):
                end(process)
                end = None
        code = await process.wait()
        found += seen("in the log", await log)
    return code, found + in_files(files)


def in_files(root: Path) -> list[str]:
    return [
        each for path in root.rglob("*") if path.is_file() for each in seen("in a file", path.read_bytes())
    ]


def arguments(pid: int) -> list[str]:
    """The key in the arguments of a process, where the system shows them."""
    path = Path(f"/proc/{pid}/cmdline")
    return seen("in the arguments", path.read_bytes()) if path.exists() else []


async def test_the_key_is_seen_nowhere_however_a_process_ends(tmp_path: Path) -> None:
    world, everything = World(now=NOW), {row.readable_with for row in KINDS.values()}
    world.keys.add(KEY, everything)
    for kind in ("customer", "price", "charge", "card", "invoice"):
        for _ in range(120):
            world.create(kind, event=False)
    redirected = Fault(status=302, headers={"Location": f"http://127.0.0.1:9/?key={KEY}"}, message=KEY)
    broken = Fault(status=401, code="api_key_expired", message=f"Bearer {KEY}")
    faults = [*ECHOES, *failures(0.002)]
    async with AsyncExitStack() as running:

        async def stripe(*rules: Fault) -> StripeServer:
            return await running.enter_async_context(StripeServer(world, faults=rules))

        failing, lasting, good, moving = [
            await stripe(*rules) for rules in (faults, faults, (), (redirected,))
        ]
        capture = Capture(good, streams=ALL, key=KEY)
        opened, wrong = open_request(capture), open_request(Capture(good, key=f"sk_live_{SECRET}"))
        discover = {"discover": {"connectorType": "LOCAL", "config": capture.endpoint_config}}
        runs: dict[str, tuple[Json, str, End, int]] = {
            "the key is refused": (opened, failing.url, lambda _: failing.faults.add(broken), 1),
            "an interrupt": (opened, lasting.url, lambda it: it.send_signal(signal.SIGINT), 130),
            "a kill": (opened, lasting.url, lambda it: it.kill(), -signal.SIGKILL),
            "an unknown key": (wrong, good.url, None, 1),
            "no Stripe": (discover, "http://127.0.0.1:9", None, 1),
            "a redirect": (opened, moving.url, None, 1),
            "discover": (discover, good.url, None, 0),
        }
        ended = await asyncio.gather(
            *(
                told(request, url, tmp_path / name, end, cold=name in COLD)
                for name, (request, url, end, _) in runs.items()
            )
        )
        assert dict(zip(runs, ended, strict=True)) == {name: (code, []) for name, (*_, code) in runs.items()}

        world.keys.add(KEY, everything - {"event"})
        assert await told(opened, good.url, tmp_path / "a permission is missing", None) == (1, [])
        world.keys.revoke(KEY)
        assert await told(opened, good.url, tmp_path / "revoked", None) == (1, [])


def open_request(capture: Capture) -> Json:
    task = {
        "name": "acmeCo/stripe",
        "connectorType": "LOCAL",
        "config": capture.endpoint_config,
        "intervalSeconds": 300,
        "bindings": [capture.binding(each) for each in capture.streams],
    }
    return {"open": {"capture": task, "version": "test", "range": {}, "state": {}}}


@pytest.mark.parametrize("path", ["tests", "acmeCo", "docs", "README.md", "test.flow.yaml"])
def test_no_key_is_in_what_is_published(path: str) -> None:
    """But those that nobody takes for a secret, as they say so."""
    root = ROOT / path
    kinds = (".json", ".yaml", ".md")
    files = [root] if root.is_file() else [each for each in root.rglob("*") if each.suffix in kinds]
    keys = re.compile(r"\b[srp]k_(?:test|live)_(?!Sandbox0)\w{16,}")
    assert {str(each): found for each in files if (found := keys.findall(each.read_text()))} == {}
    assert files
