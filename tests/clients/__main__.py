"""`make clients`: Stripe's own command line and SDKs against the local Stripe, and a capture beside them.

The clients are installed with the registries' ordinary clients into a temporary folder, in pinned versions.
The run prints a line for each kind of use with how much of it works, what does not and why, and whether the
capture ends with every object that the clients made, in its last state. It fails if less works than WANTED.
"""

import asyncio
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import orjson

from sandbox.stripe import StripeServer, World, facts
from sandbox.stripe.paths import TARGETS, present
from source_stripe_native.stripe.sessions import API_BASE_VARIABLE
from tests.capture import Capture
from tests.test_streams import ALL, differences

PINNED: Final = {"cli": "@stripe/cli@1.52.0", "node": "stripe@23.1.0", "python": "stripe==16.1.0"}
HERE: Final = Path(__file__).parent
SOME: Final = 3
"""How many programs run at a time."""
SHOWN: Final = 13
"""How many failures of one kind of use are printed."""
WANTED: Final = 110
"""How many of the command line's triggers succeed."""
KNOWN: Final = {
    "parameter_unknown": "the newest API versions lack this parameter",
    "must be one of": "Stripe's document lacks this value",
    "/v2/": "needs an endpoint of API v2",
}
"""Why a trigger can fail, by what its error has in it."""
MISSING: Final = "Missing required param"
"""Of a list that is another object's."""


async def run(*command: str | Path, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")


async def install(folder: Path) -> None:
    """Raises SystemExit if a registry's client cannot."""
    for command in (
        ("npm", "install", "--no-audit", "--no-fund", "--prefix", folder, PINNED["cli"], PINNED["node"]),
        (_python(), "-m", "pip", "install", "-q", "--target", folder / "python", PINNED["python"]),
    ):
        code, output = await run(*command)
        if code:
            raise SystemExit(f"{' '.join(map(str, command[:3]))} failed:\n{output}")


def _python() -> str:
    """A Python that has pip: the one that the project's environment was made with."""
    return str(Path(sys.base_prefix) / "bin" / "python3")


def binary(folder: Path) -> Path:
    (found,) = folder.glob("node_modules/@stripe/cli-*/bin/stripe*")
    found.chmod(0o755)
    return found


async def triggers(folder: Path, server: StripeServer) -> dict[str, str]:
    """What went wrong with each event that the command line can trigger."""
    stripe, settings = binary(folder), {"HOME": str(folder), "STRIPE_CLI_TELEMETRY_OPTOUT": "1"}
    _, text = await run(stripe, "trigger", "--help", environment=settings)
    names = re.findall(r"^  (\w+\.[\w.]+)$", text.split("Supported events:")[1], re.MULTILINE)
    turns = asyncio.Semaphore(SOME)

    async def trigger(name: str) -> str:
        async with turns:
            key = ("--api-key", server.world.key, "--api-base", server.url)
            code, output = await run(stripe, "trigger", name, *key, environment=settings)
        return output.partition("failed:")[2].strip() or output.strip() if code else ""

    return dict(zip(names, await asyncio.gather(*map(trigger, names)), strict=True))


async def sdks(folder: Path, server: StripeServer) -> dict[str, dict[str, str]]:
    """What went wrong with each flow and each list of the SDKs."""
    script = shutil.copy(HERE / "flows.mjs", folder)
    at, path = (server.url, server.world.key), {"PYTHONPATH": str(folder / "python")}
    ran = {
        "Python": await run(_python(), HERE / "flows.py", *at, environment=path),
        "Node": await run("node", script, *at),
    }
    found: dict[str, dict[str, str]] = {}
    for language, (code, output) in ran.items():
        if code:
            raise SystemExit(f"the SDK for {language} failed:\n{output}")
        for line in map(orjson.loads, output.splitlines()):
            if MISSING not in line["wrong"] and "preview" not in line["name"]:
                title = f"{line['kind']}s of the SDK for {language}"
                found.setdefault(title, {})[line["name"]] = line["wrong"]
    return found


def documented() -> dict[str, str]:
    """Whether each documented parameter of POST is known, by its path."""
    found: dict[str, str] = {}
    for (method, shape), form in facts.forms().items():
        path = f"/{'/'.join(shape)}"
        target = TARGETS.get(facts.shape_of(present(path)))
        if method == "POST":
            served = target and "POST" in target.rules
            found |= {f"{path} {name}": "" if served else f"{path} is not there" for name in form}
    return found


def reason(wrong: str) -> str:
    message = re.search(r'"message": "([^"]+)"', wrong)
    known = next((why for part, why in KNOWN.items() if part in wrong), "")
    return f"{known}: {message[1]}" if known and message else message[1] if message else wrong[-200:]


def report(name: str, results: dict[str, str]) -> None:
    wrong = {each: said for each, said in results.items() if said}
    print(f"{len(results) - len(wrong):4} of {len(results):3}  {name}")
    for each in list(wrong)[:SHOWN]:
        print(f"             {each}: {reason(wrong[each])[:140]}")
    if len(wrong) > SHOWN:
        print(f"             and {len(wrong) - SHOWN} more")


def lacking(capture: Capture, streams: Sequence[str]) -> dict[str, str]:
    """What the capture has wrong, of each stream."""
    return {each: differences(capture, each, False, changed=True) for each in streams}


async def main() -> int:
    world = World(effects=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await install(folder)
        async with StripeServer(world) as server:
            os.environ[API_BASE_VARIABLE] = server.url
            capture = Capture(server, streams=ALL)

            def backfilled() -> bool:
                states = [capture.binding_state(each) for each in ALL]
                return all(state and not state.get("backfill") for state in states)

            await capture.session(backfilled, seconds=120)
            triggered, used = await triggers(folder, server), await sdks(folder, server)
            world.clock.advance(3600)
            await capture.session(lambda: all(map(capture.caught_up, ALL)), seconds=300)
    results = {f"triggers of Stripe's command line ({PINNED['cli']})": triggered, **used}
    results["documented parameters of POST"] = documented()
    results["streams of a capture beside them, with every object in its last state"] = lacking(capture, ALL)
    for title, found in results.items():
        report(title, found)
    succeeded = sum(not said for said in triggered.values())
    held = [found for title, found in results.items() if title.startswith(("flows", "streams"))]
    wrong = [said for found in held for said in found.values() if said]
    return 0 if succeeded >= WANTED and not wrong else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
