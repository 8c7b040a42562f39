"""`stripe`: serve a local Stripe, alone or around a command."""

import asyncio
import contextlib
import errno
import functools
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import click
import orjson

from sandbox.stripe.demo import seeded
from sandbox.stripe.faults import Fault
from sandbox.stripe.keys import resources_of
from sandbox.stripe.limits import RateLimit
from sandbox.stripe.server import StripeServer
from sandbox.stripe.shop import Shop
from sandbox.stripe.webhooks import SECRET, WebhookFaults, Webhooks, register


class _Fault(click.ParamType[Fault]):
    name = "fault"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fault:
        try:
            return Fault.from_json(orjson.loads(value))
        except (ValueError, TypeError, AttributeError) as error:
            self.fail(f"{value!r} is no rule: {error}", param, ctx)


class _WebhookFaults(click.ParamType[WebhookFaults]):
    name = "webhook faults"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> WebhookFaults:
        try:
            return WebhookFaults.from_json(orjson.loads(value))
        except (ValueError, TypeError, AttributeError) as error:
            self.fail(f"{value!r} is not understood: {error}", param, ctx)


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0 is any free one.")
@click.option("--seed", default=0, show_default=True, help="Seed of what is made at random.")
@click.option(
    "--demo", is_flag=True, help="A small shop: two years of every kind of object, and live changes."
)
@click.option(
    "--changes",
    type=click.FloatRange(min=0),
    default=20.0,
    show_default=True,
    help="With --demo: live changes a minute, about a purchase each; 0 for none.",
)
@click.option("--connected", default=0, show_default=True, help="How many connected accounts there are.")
@click.option(
    "--test-clocks", default=0, show_default=True, help="With --demo: customers whose time is a test clock's."
)
@click.option(
    "--restricted",
    metavar="NAMES",
    help="Make a restricted key with these permissions only, as in rak_plan_read,rak_event_read. It is told "
    "on stderr.",
)
@click.option(
    "--fault",
    "faults",
    type=_Fault(),
    multiple=True,
    metavar="JSON",
    help='What goes wrong, as in \'{"path": "/v1/charges*", "every": 9, "status": 500}\'; may be repeated. '
    "The fields are those of sandbox/stripe/faults.py.",
)
@click.option("--limits", is_flag=True, help="Enforce Stripe's rate limits of test mode.")
@click.option("--latency", default=0.0, show_default=True, help="Delay of every answer, in seconds.")
@click.option(
    "--ahead",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="SECONDS",
    help="How far Stripe's clock is ahead of this machine's. POST /_sandbox/advance moves it on.",
)
@click.option(
    "--webhooks",
    metavar="URL",
    help="Post events to this address, of the account and of connected ones, signed with the secret that is "
    "told on stderr. POST /v1/webhook_endpoints makes further endpoints.",
)
@click.option(
    "--webhook-faults",
    type=_WebhookFaults(),
    metavar="JSON",
    help='What goes wrong with posts, as in \'{"lost": 0.1, "late": 0.2}\'. The fields are those of '
    "WebhookFaults in sandbox/stripe/webhooks.py.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def stripe(
    host: str,
    port: int,
    seed: int,
    demo: bool,
    changes: float,
    connected: int,
    test_clocks: int,
    restricted: str | None,
    faults: tuple[Fault, ...],
    limits: bool,
    latency: float,
    ahead: int,
    webhooks: str | None,
    webhook_faults: WebhookFaults | None,
    command: tuple[str, ...],
) -> None:
    """Serve a local Stripe with a few products and prices, or with a shop (--demo).

    Without a COMMAND it serves until Ctrl-C. A COMMAND (after `--`) runs with its address as STRIPE_API_BASE,
    and its exit code is the exit code.

    While it runs, `curl ADDRESS/_sandbox/advance -d '{"seconds": 3600}'` moves its clock, and
    `/_sandbox/faults` takes a list of faults in place of those that are in force."""
    if test_clocks and not demo:
        raise click.UsageError("--test-clocks are of the shop: they go with --demo")
    shop = Shop(seed, connected, test_clocks) if demo else None
    world = shop.world if shop else seeded(seed, connected)
    world.clock.advance(ahead)
    try:
        key = world.restrict(resources_of(restricted)) if restricted else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--restricted") from error
    rate_limit = RateLimit(25, 25) if limits else None
    server = StripeServer(world, faults=faults, latency=latency, limits=rate_limit, host=host, port=port)
    if webhooks:
        register(world, webhooks)
        click.echo(f"Events are posted to {webhooks}, signed with {SECRET}", err=True)
    posting = Webhooks(world, webhook_faults, seed)
    if key:
        click.echo(f"The restricted key is {key}", err=True)
    live = changing(shop.live, 60 / changes) if shop and changes else contextlib.nullcontext()
    try:
        status = asyncio.run(_serve(server, live, posting, command))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise click.ClickException(
                f"port {port} is in use: end the program that has it, or choose another one by --port"
            ) from None
        raise click.ClickException(str(error)) from error
    sys.exit(status)


async def _serve(
    server: StripeServer,
    live: contextlib.AbstractAsyncContextManager[None],
    posting: Webhooks,
    command: Sequence[str],
) -> int:
    async with live, posting:
        return await (_around(server, command) if command else _alone(server))


@contextlib.asynccontextmanager
async def changing(change: Callable[[], object], seconds: float) -> AsyncIterator[None]:
    """Makes a change every so many seconds."""

    async def make() -> None:
        while True:
            await asyncio.sleep(seconds)
            change()

    task = asyncio.create_task(make())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task  # tells of a change that failed


async def _alone(server: StripeServer) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    async with server:
        click.echo(f"Stripe at {server.url} with the key {server.world.key}", err=True)
        sys.stderr.flush()
        await stopped.wait()
    return 0


async def _around(server: StripeServer, command: Sequence[str]) -> int:
    loop = asyncio.get_running_loop()
    started: asyncio.Future[asyncio.subprocess.Process] = loop.create_future()
    async with server:
        # Before its start: it may be ready, and told to stop, before this coroutine goes on.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, started.add_done_callback, functools.partial(_pass_on, number))
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, "STRIPE_API_BASE": server.url}
        )
        started.set_result(process)
        code = await process.wait()
    return code if code >= 0 else 128 - code


def _pass_on(number: signal.Signals, started: asyncio.Future[asyncio.subprocess.Process]) -> None:
    """Signal the command, unless the terminal has: Ctrl-C goes to every process in the foreground."""
    process = started.result()
    if number == signal.SIGINT and _in_foreground():
        return
    if process.returncode is None:
        process.send_signal(number)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
