"""`stripe`: serve a local Stripe, alone or around a command."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

import click

from sandbox.stripe.demo import seeded
from sandbox.stripe.server import StripeServer


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0 is any free one.")
@click.option("--seed", default=0, show_default=True, help="Seed of what is made at random.")
@click.option("--connected", default=0, show_default=True, help="How many connected accounts there are.")
@click.option("--latency", default=0.0, show_default=True, help="Delay of every answer, in seconds.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def stripe(host: str, port: int, seed: int, connected: int, latency: float, command: tuple[str, ...]) -> None:
    """Serve a local Stripe with a few products and prices.

    Without a COMMAND it serves until Ctrl-C. A COMMAND (after `--`) runs with its address as STRIPE_API_BASE,
    and its exit code is the exit code."""
    server = StripeServer(seeded(seed, connected), latency=latency, host=host, port=port)
    try:
        status = asyncio.run(_around(server, command) if command else _alone(server))
    except OSError as error:
        raise click.ClickException(str(error)) from error
    sys.exit(status)


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
    async with server:
        process = await asyncio.create_subprocess_exec(
            *command, env={**os.environ, "STRIPE_API_BASE": server.url}
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, _pass_on, process, signal.SIGTERM)
        loop.add_signal_handler(signal.SIGINT, _pass_on, process, signal.SIGINT)
        code = await process.wait()
    return code if code >= 0 else 128 - code


def _pass_on(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the command, unless the terminal has: Ctrl-C goes to every process in the foreground."""
    if number == signal.SIGINT and _in_foreground():
        return
    if process.returncode is None:
        process.send_signal(number)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
