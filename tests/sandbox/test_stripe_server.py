"""The server over loopback: headers, compression, faults, limits, journal, controls, and the command line."""

import asyncio
import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import orjson
import pytest
from click.testing import CliRunner

from sandbox.stripe import DEFAULT_KEY, Fault, Faults, RateLimit, StripeServer, World, seeded
from sandbox.stripe.cli import changing
from sandbox.stripe.cli import stripe as stripe_command
from sandbox.stripe.routes import Api, Request
from tests.warm_python import python

NOW = 1_750_000_000
AUTH = {"Authorization": f"Bearer {DEFAULT_KEY}"}
AUTH_LOWER = {"authorization": AUTH["Authorization"]}
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def server() -> AsyncIterator[StripeServer]:
    async with StripeServer(seeded(now=NOW)) as server:
        yield server


@pytest.fixture
async def http(server: StripeServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url, headers=AUTH) as session:
        yield session


async def test_answers_carry_stripes_headers_and_the_worlds_date(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/prices", headers={"Stripe-Version": "2020-08-27"}) as answer:
        assert answer.headers["Request-Id"].startswith("req_")
        assert answer.headers["Stripe-Version"] == "2020-08-27"
        assert answer.headers["Date"] == "Sun, 15 Jun 2025 15:06:40 GMT"
        assert len((await answer.json())["data"]) == 5


async def test_body_is_compressed_only_when_asked(server: StripeServer) -> None:
    async with aiohttp.ClientSession(server.url, headers=AUTH, auto_decompress=False) as session:
        async with session.get("/v1/prices", headers={"Accept-Encoding": "gzip"}) as answer:
            assert answer.headers["Content-Encoding"] == "gzip"
            packed = gzip.decompress(await answer.read())
        async with session.get("/v1/prices", headers={"Accept-Encoding": "identity"}) as answer:
            assert "Content-Encoding" not in answer.headers
            assert packed == await answer.read()


async def test_errors_have_their_status_and_journal_entry(
    server: StripeServer, http: aiohttp.ClientSession
) -> None:
    async with http.get("/v1/prices/none") as answer:
        assert answer.status == 404
    async with http.get("/v1/events", params=[("types[]", "a"), ("types[]", "b"), ("limit", "5")]) as answer:
        assert answer.status == 200
    missing, events = server.journal
    assert (missing.method, missing.path, missing.status) == ("GET", "/v1/prices/none", 404)
    assert events.query == {"types[]": "a,b", "limit": "5"}
    assert events.account == server.world.platform
    assert events.started_at <= events.finished_at
    assert server.journal.visits("/v1/e*", limit="5") == [events]
    assert server.journal.visits(status=404) == [missing]
    assert server.journal.by_path() == {"/v1/prices/none": 1, "/v1/events": 1}


async def test_fault_answers_in_place_of_stripe_and_then_stops(
    server: StripeServer, http: aiohttp.ClientSession
) -> None:
    rule = Fault("/v1/prices", status=503, code="x", headers={"Retry-After": "3"}, after=1, times=2)
    server.faults.add(rule)
    statuses = []
    for _ in range(5):
        async with http.get("/v1/prices") as answer:
            statuses.append((answer.status, answer.headers.get("Retry-After")))
    assert statuses == [(200, None), (503, "3"), (503, "3"), (200, None), (200, None)]
    assert server.faults.fired(rule) == 2


async def test_fault_drops_the_connection(server: StripeServer, http: aiohttp.ClientSession) -> None:
    server.faults.set(Fault(reset=True, times=1))
    with pytest.raises(aiohttp.ClientConnectionError):
        await http.post("/v1/products", data={"name": "n"})
    assert [visit.status for visit in server.journal] == [0]
    assert len(server.world.list_all("product")) == 3
    async with http.get("/v1/prices") as answer:
        assert answer.status == 200


async def test_fault_cuts_the_body_short(server: StripeServer, http: aiohttp.ClientSession) -> None:
    server.faults.set(Fault(truncate=True))
    async with http.get("/v1/prices") as answer:
        assert int(answer.headers["Content-Length"]) > 0
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_delays_are_added(server: StripeServer, http: aiohttp.ClientSession) -> None:
    server.latency = 0.02
    server.faults.set(Fault(latency=0.02), Fault(slow=0.05))
    started = time.monotonic()
    async with http.get("/v1/prices") as answer:
        body = await answer.json()
    assert time.monotonic() - started >= 0.09
    assert len(body["data"]) == 5


def test_fault_fires_by_its_counts_its_chance_and_its_match() -> None:
    def fired(rule: Fault, count: int = 8) -> str:
        faults = Faults([rule], seed=1)
        return "".join(
            "x" if faults.firing("GET", "/v1/a", "limit=1", "acct_1") else "." for _ in range(count)
        )

    assert fired(Fault(every=3)) == "..x..x.."
    assert fired(Fault(every=2, after=1, times=2)) == "..x.x..."
    assert fired(Fault(path="/v1/*", method="GET", account="acct_1", query="limit")) == "x" * 8
    assert fired(Fault(method="POST")) == fired(Fault(query="type")) == fired(Fault(account="a")) == "." * 8
    assert 20 < fired(Fault(probability=0.5), 80).count("x") < 60
    assert fired(Fault(probability=0.5), 80) == fired(Fault(probability=0.5), 80)
    with pytest.raises(ValueError, match="a fault has no paths; it has account,"):
        Fault.from_json({"paths": "*"})


def test_rate_limit_counts_any_one_second_by_endpoint_and_in_all() -> None:
    limit = RateLimit(total=3, endpoint=2)
    assert [limit.refuse("a", "x", 0.1 * n) for n in range(3)] == [None, None, "endpoint-rate"]
    assert [limit.refuse("a", "y", 0.5), limit.refuse("a", "y", 0.6)] == [None, "global-rate"]
    assert limit.refuse("b", "x", 0.6) is None
    assert limit.refuse("a", "x", 1.0) is None
    assert limit.refuse("a", "x", 1.05) == "global-rate"


@pytest.mark.parametrize(("version", "status"), [("2015-09-03", 400), ("2015-09-08", 429)])
async def test_limited_server_says_why(
    server: StripeServer, http: aiohttp.ClientSession, version: str, status: int
) -> None:
    server.limits = RateLimit(endpoint=1)
    headers = {"Stripe-Version": version}
    async with http.get("/v1/prices/a"), http.get("/v1/prices/b", headers=headers) as answer:
        assert answer.status == status
        assert answer.headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"


async def test_controls_move_the_clock_set_faults_and_show_the_journal(
    server: StripeServer, http: aiohttp.ClientSession
) -> None:
    async with http.post("/_sandbox/advance", json={"seconds": 60}) as answer:
        assert await answer.json() == {"now": NOW + 60}
    async with http.post("/_sandbox/faults", json=[{"path": "/v1/prices", "status": 500}]) as answer:
        assert answer.status == 200
    async with http.get("/v1/prices") as answer:
        assert answer.status == 500
    async with http.get("/_sandbox/journal") as answer:
        assert [visit["path"] for visit in await answer.json()] == ["/v1/prices"]
    for path, body in (("faults", '[{"pat": 1}]'), ("advance", "{}"), ("advance", "nonsense")):
        async with http.post(f"/_sandbox/{path}", data=body) as answer:
            assert answer.status == 400
    async with http.get("/_sandbox/nothing") as answer:
        assert answer.status == 404


async def test_world_changes_while_it_is_served(server: StripeServer, http: aiohttp.ClientSession) -> None:
    price = server.world.create("price")["id"]
    async with http.get("/v1/prices", params={"limit": 1}) as answer:
        assert (await answer.json())["data"][0]["id"] == price


def stripe(*arguments: str) -> list[str]:
    return [python(), "-c", "from sandbox.stripe.cli import stripe; stripe()", *arguments]


def test_command_runs_against_the_sandbox_and_gives_its_exit_code() -> None:
    script = """
import os, sys, urllib.request
url = os.environ["STRIPE_API_BASE"] + "/v1/accounts"
asked = urllib.request.Request(url, headers={"Authorization": sys.argv[1]})
sys.stdout.write(urllib.request.urlopen(asked).read().decode())
sys.exit(7)
"""
    run = subprocess.run(
        stripe("--connected", "2", "--", sys.executable, "-c", script, f"Bearer {DEFAULT_KEY}"),
        cwd=ROOT,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert run.returncode == 7, run.stderr
    assert len(orjson.loads(run.stdout)["data"]) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_the_command(number: signal.Signals) -> None:
    script = (
        "import signal, sys, time\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(5))\n"
        "print('ready', flush=True)\ntime.sleep(20)"
    )
    with subprocess.Popen(
        stripe("--", sys.executable, "-c", script),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        os.kill(process.pid, number)
        assert process.wait(20) == 5


def test_alone_it_tells_its_address_on_stderr_and_stops_when_told() -> None:
    with subprocess.Popen(
        stripe(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        line = process.stderr.readline()
        assert line.startswith("Stripe at http://127.0.0.1:")
        assert DEFAULT_KEY in line
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stdout.read() == ""


def test_options_make_a_restricted_key_faults_limits_and_another_time() -> None:
    script = (
        "import json, os, sys, time, urllib.request as r, urllib.error as e\n"
        "def status(path, key):\n"
        "    url = os.environ['STRIPE_API_BASE'] + path\n"
        "    try: answer = r.urlopen(r.Request(url, headers={'Authorization': 'Bearer ' + key}))\n"
        "    except e.HTTPError as error: answer = error\n"
        "    return answer.status\n"
        "whole, some = 'sk_test_Sandbox00000000000000000', 'rk_test_Sandbox00000000000000001'\n"
        "print([status(p, some) for p in ('/v1/prices', '/v1/products')], status('/v1/coupons', whole),"
        "{status('/v1/prices', whole) for _ in range(30)})"
    )
    options = (
        "--restricted",
        "rak_plan_read",
        "--fault",
        '{"path": "/v1/coupons", "status": 502}',
        "--limits",
    )
    command = stripe(*options, "--ahead", "86400", "--", sys.executable, "-c", script)
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    assert run.stdout == "[200, 403] 502 {200, 429}\n"
    assert run.stderr == "The restricted key is rk_test_Sandbox00000000000000001\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--restricted", "rak_prices_read"), "no such permissions: ['prices']"),
        (("--restricted", "rak_plan_write"), "rak_plan_write is no permission to read"),
        (("--fault", '{"pth": "/v1/prices"}'), "a fault has no pth"),
        (("--fault", "[]"), "is no rule"),
        (("--test-clocks", "2"), "they go with --demo"),
    ],
)
def test_option_that_makes_no_sense_is_a_usage_error(options: tuple[str, ...], says: str) -> None:
    ran = CliRunner().invoke(stripe_command, options, terminal_width=1000)
    assert ran.exit_code == 2
    assert says in ran.output


async def test_changes_are_made_while_it_serves() -> None:
    made: list[int] = []
    async with changing(lambda: made.append(1), 0.001):
        await asyncio.sleep(0.1)
    count = len(made)
    assert count > 2
    await asyncio.sleep(0.01)
    assert len(made) == count


async def test_change_that_fails_is_told() -> None:
    with pytest.raises(ZeroDivisionError):
        async with changing(lambda: 1 / 0, 0):
            await asyncio.sleep(0.01)


def test_taken_port_is_one_clear_line() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        run = subprocess.run(
            stripe("--port", port), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
        )
    assert run.returncode == 1
    assert run.stderr == (
        f"Error: port {port} is in use: end the program that has it, or choose another one by --port\n"
    )


def test_page_costs_the_same_however_large_the_world() -> None:
    """A page that walked its table would cost a hundred times as much in the larger one."""

    def fastest(size: int) -> float:
        world = World(now=NOW)
        for place in range(size):
            world.create("price", created=NOW - place // 7, active=place % 2 == 0, event=False)
        middle = world.table("price").order[size // 2].id
        query = [("limit", "50"), ("active", "true"), ("starting_after", middle), ("created[gte]", "5")]
        request, api, best = Request("GET", "/v1/prices", query, AUTH_LOWER), Api(world), 1.0
        for _ in range(30):
            started = time.perf_counter()
            assert len(orjson.loads(api.answer(request).body)["data"]) == 50
            best = min(best, time.perf_counter() - started)
        return best

    assert fastest(20_000) < 5 * fastest(200)
