#!/bin/sh
# aiohttp 3.14.5: one GET arrives twice where the server closes a connection that was used before.
#
# The client sends a request on a connection of its pool. Where the server closes it before it answers, aiohttp sends
# the request again on a new one: at once, once, and without a sign for the caller. A client that counts its requests
# against a rate limit, as one of Stripe has to, has sent more than it counted. There is no public switch.
#
# Output seen:
#   asked for: /first /second
#   arrived:   GET /first GET /second GET /second
#
# Needs python3 and a package index. Fails if aiohttp sends it otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check aiohttp==3.14.5
cat > "$folder/ask.py" <<'PYTHON'
import asyncio

import aiohttp

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
arrived: list[str] = []


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers the first request of a connection, and closes it at the second."""
    is_used = False
    while head := await reader.readline():
        while await reader.readline() not in (b"\r\n", b""):
            pass
        arrived.append(head.decode().rpartition(" ")[0])
        if is_used:
            break
        is_used = True
        writer.write(ANSWER)
        await writer.drain()
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    asked = "/first", "/second"
    async with aiohttp.ClientSession() as session:
        for path in asked:
            async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                assert await response.read() == b"{}"
    print("asked for:", *asked)
    print("arrived:  ", *arrived)
    assert arrived == ["GET /first", "GET /second", "GET /second"]


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
