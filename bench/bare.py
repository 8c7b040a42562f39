"""The least that any capture has to do: reads every page of a list with aiohttp, parses it and writes its
objects with orjson, and nothing else. Arguments: the address and a key. Prints on stderr the CPU seconds of
its start and of all."""

import asyncio
import sys
import time

import aiohttp
import orjson


async def main(url: str, key: str) -> None:
    after = ""
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        started = time.process_time()
        while True:
            params = {"limit": "100", **({"starting_after": after} if after else {})}
            async with session.get(url, params=params) as response:
                page = orjson.loads(await response.read())
            for each in page["data"]:
                sys.stdout.buffer.write(orjson.dumps(each) + b"\n")
            if not page["has_more"]:
                break
            after = page["data"][-1]["id"]
    sys.stdout.buffer.flush()
    print(started, time.process_time(), file=sys.stderr)


asyncio.run(main(*sys.argv[1:3]))
