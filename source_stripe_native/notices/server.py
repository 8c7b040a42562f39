"""The server that Stripe's posts come to.

Rule: anybody may connect, and only a valid signature counts. What has none is refused before its body is
read, as far as the headers show it, and costs no request to Stripe. An answer waits for nothing but the body.

| answer | to |
|---|---|
| 200 | a signed post, whatever it announces |
| 400 | a post without a valid signature, or with one of another time |
| 405 | another method than POST |
| 413 | a body of more than 1 MB |
| 503 | a post while the capture stops, or while the bodies that are being read have `MOST_BYTES` |
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from logging import Logger
from typing import Final

from aiohttp import web

from source_stripe_native.notices import signature
from source_stripe_native.notices.notices import PORT_VARIABLE, Notices
from source_stripe_native.notices.posts import notice_of

MOST_BODY: Final = 1_000_000
"""Bytes of one post."""
MOST_BYTES: Final = 16_000_000
"""Bytes of all posts that are being read."""
PATIENCE: Final = 10.0
"""Seconds that a body may take to arrive."""
KEEP_ALIVE: Final = 15.0
"""Seconds for which a connection without a post stays open."""


@dataclass(eq=False)
class PostServer:
    """Answers posts until the event `stopping`. Those that are signed with one of the `secrets` add to the
    notices. `now` is Stripe's clock."""

    notices: Notices
    secrets: Sequence[str] = field(repr=False)
    now: Callable[[], datetime]
    stopping: asyncio.Event
    log: Logger
    _is_proven: bool = False
    """Whether a post was valid, or a line has said that none is."""
    _bytes: int = 0
    """Those of all posts that are being read."""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.notices.posts["received"] += 1
        status = await self._status(request)
        if status != 200:
            self.notices.posts[str(status)] += 1
        headers = {"Allow": "POST"} if status == 405 else {"Retry-After": "60"} if status == 503 else {}
        response = web.Response(status=status, headers=headers)
        if not request.content.is_eof():
            # What is left of a refused body is not read.
            response.force_close()
        return response

    async def _status(self, request: web.BaseRequest) -> int:
        if request.method != "POST":
            return 405
        if self.stopping.is_set():
            return 503
        expected = MOST_BODY if request.content_length is None else request.content_length
        if expected > MOST_BODY:
            return 413
        header = signature.parse_header(request.headers.get(signature.HEADER, ""))
        if header is None or not signature.is_in_time(header[0], self.now().timestamp()):
            return 400
        if self._bytes + expected > MOST_BYTES:
            return 503
        self._bytes += expected
        try:
            async with asyncio.timeout(PATIENCE):
                body = await request.clone(client_max_size=MOST_BODY).read()
        except TimeoutError:
            return 400
        except web.HTTPRequestEntityTooLarge:
            return 413
        finally:
            self._bytes -= expected
        if not signature.is_signed(self.secrets, *header, body):
            self._report_unsigned()
            return 400
        self._is_proven = True
        if (notice := notice_of(body)) is not None:
            self.notices.add(notice)
        return 200

    def _report_unsigned(self) -> None:
        """Reports that no secret fits, once, and not where one fits others: anybody may post."""
        if not self._is_proven:
            self._is_proven = True
            self.log.warning(
                "a post has another signature than advanced.webhook_signing_secret makes, and none had it so "
                "far: set it to the signing secret of the event destination in Stripe that posts here."
            )


@asynccontextmanager
async def listening(server: PostServer, port: int) -> AsyncIterator[None]:
    """Listens for posts at `port` while the block runs. Where it cannot be had, one line says so, and the
    capture reads as it does without posts."""
    # What anybody sends must not fill the log.
    silent = logging.Logger("posts")  # noqa: LOG001 - no name to be configured by
    silent.disabled = True
    # The signature is of the body as it was sent.
    web_server = web.Server(
        server.answer,
        access_log=None,
        logger=silent,
        auto_decompress=False,
        keepalive_timeout=KEEP_ALIVE,
        lingering_time=1.0,
    )
    runner = web.ServerRunner(web_server, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        server.log.info("listening for Stripe's posts", {"port": runner.addresses[0][1]})
    except OSError as error:
        server.log.warning(
            f"port {port} cannot be listened on, so that Stripe's posts do not arrive: changes are found by "
            f"reading alone. Set {PORT_VARIABLE} to a free port and start the capture again. {error.strerror}"
        )
    try:
        yield
    finally:
        with suppress(OSError):
            await runner.cleanup()
