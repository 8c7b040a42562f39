"""Runs a capture against a sandbox in this process and counts what it writes."""

import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import json_merge_patch
import orjson

from sandbox.stripe import StripeServer
from source_stripe_native import http

Json = dict[str, Any]
ROOT = Path(__file__).parent.parent
CAPTURED = b'{"captured":{"binding":'
"""How the line of a document begins, before its binding's index."""
OPEN = 1_000_000
"""Requests a second that stand for no limit."""


def lift_budget() -> None:
    """Takes Stripe's limits off this process: what is measured is the connector, not how long it waits."""
    http.REQUESTS_LIVE = http.REQUESTS_TEST = OPEN  # type: ignore[misc]  # Final for everybody else
    http.REQUESTS_PER_ENDPOINT = OPEN  # type: ignore[misc]  # likewise


@dataclass
class Written:
    """What a capture wrote: documents by stream, checkpoints, state; and what it took: peak resident memory
    in bytes, CPU seconds, and seconds from its start."""

    documents: dict[str, int] = field(default_factory=dict)
    checkpoints: int = 0
    state: Json = field(default_factory=dict)
    peak: int = 0
    cpu: float = 0.0
    seconds: float = 0.0
    first: float = 0.0

    def of(self, stream: str) -> Json:
        return dict(self.state["bindingStateV1"].get(stream, {}))


def config(server: StripeServer, *, connected: bool) -> Json:
    return {
        "credentials": {"access_token": server.world.key},
        "start_date": "2012-01-01T00:00:00Z",
        "capture_connected_accounts": connected,
    }


async def capture(
    server: StripeServer,
    streams: list[str],
    until: Callable[[Written], bool],
    take: Callable[[str, Json], None] | None = None,
    *,
    connected: bool = False,
    state: Json | None = None,
    interval: str = "PT5M",
    at_most: float = 300.0,
    opened: Callable[[], None] = lambda: None,
) -> Written:
    """Runs the connector until `until` holds after a checkpoint, at most so many seconds, and kills it.

    `take` is called with the stream and the content of each document that a checkpoint follows, `opened` once
    the capture has begun. Raises RuntimeError with the connector's last words where it ends by itself."""
    started = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.connector"),
        cwd=ROOT,
        env={**os.environ, "STRIPE_API_BASE": server.url, "LOG_LEVEL": "WARN"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=1 << 27,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(orjson.dumps(_request(server, streams, connected, state or {}, interval)) + b"\n")
    written, pending = Written(state=state or {}), list[tuple[str, bytes]]()
    try:
        async with asyncio.timeout(at_most):
            while line := await process.stdout.readline():
                if line.startswith(CAPTURED):
                    written.first = written.first or time.monotonic() - started
                    stream = streams[int(line[len(CAPTURED) : line.index(b",", len(CAPTURED))])]
                    written.documents[stream] = written.documents.get(stream, 0) + 1
                    if take is not None:
                        pending.append((stream, line))
                elif line.startswith(b'{"checkpoint"'):
                    written.checkpoints += 1
                    patch = orjson.loads(line)["checkpoint"]["state"]["updated"]
                    written.state = json_merge_patch.merge(written.state, patch)
                    if take is not None:
                        for stream, each in pending:
                            take(stream, orjson.loads(each)["captured"]["doc"])
                    pending.clear()
                    if until(written):
                        break
                elif line.startswith(b'{"opened"'):
                    opened()
            else:
                raise RuntimeError((await process.stderr.read()).decode()[-2000:])
    except TimeoutError:
        pass
    finally:
        written.seconds = time.monotonic() - started
        if process.returncode is None:
            written.peak, written.cpu = _usage(process.pid)
            process.kill()
        await process.wait()
    return written


def _request(server: StripeServer, streams: list[str], connected: bool, state: Json, interval: str) -> Json:
    bindings = [
        {
            "resourceConfig": {"name": each, "interval": interval},
            "resourcePath": [each],
            "stateKey": each,
            "collection": {"name": f"acmeCo/{each}", "key": ["/id"], "writeSchema": {}},
        }
        for each in streams
    ]
    return {
        "open": {
            "capture": {
                "name": "acmeCo/bench",
                "connectorType": "LOCAL",
                "config": config(server, connected=connected),
                "intervalSeconds": 300,
                "bindings": bindings,
            },
            "version": "bench",
            "range": {},
            "state": state,
        }
    }


def _usage(pid: int) -> tuple[int, float]:
    """Peak resident memory in bytes and CPU seconds of a process, as Linux counts them."""
    status = Path(f"/proc/{pid}/status").read_text()
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    return int(peak.split()[1]) * 1024, ticks / os.sysconf("SC_CLK_TCK")
