"""A capture that gets posts: the local Stripe's webhooks, and a free port for the connector to listen on."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from sandbox.stripe import World
from sandbox.stripe.webhooks import SECRET, WebhookFaults, Webhooks, register, sign
from source_stripe_native.notices.notices import PORT_VARIABLE

CONFIG: dict[str, Any] = {"advanced": {"webhook_signing_secret": SECRET}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listen(monkeypatch: pytest.MonkeyPatch) -> str:
    """Gives the connector a free port to listen on. Returns its address."""
    port = free_port()
    monkeypatch.setenv(PORT_VARIABLE, str(port))
    return f"http://127.0.0.1:{port}/"


@asynccontextmanager
async def posting(world: World, url: str, faults: WebhookFaults | None = None) -> AsyncIterator[Webhooks]:
    """Posts the world's events to `url`."""
    register(world, url)
    async with Webhooks(world, faults) as webhooks:
        yield webhooks


async def post(url: str, body: bytes, at: int, secret: str = SECRET, **headers: str) -> int:
    """Posts a signed body. Returns the status of the answer."""
    signed = {"Stripe-Signature": sign(secret, body, at), **headers}
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=signed) as response:
        return response.status
