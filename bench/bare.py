"""The least that any capture has to do: reads every page of a list with aiohttp, parses it and writes its
objects with orjson, and nothing else. Arguments: the address and a key. Prints documents and CPU seconds on
stderr."""

import asyncio
import sys
import time

import aiohttp
import orjson


async def main(url: str, key: str) -> None:
    count, after = 0, ""
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            params = {"limit": "100", **({"starting_after": after} if after else {})}
            async with session.get(url, params=params) as response:
                page = orjson.loads(await response.read())
            for each in page["data"]:
                sys.stdout.buffer.write(orjson.dumps(each) + b"\n")
            count += len(page["data"])
            if not page["has_more"]:
                break
            after = page["data"][-1]["id"]
    print(count, time.process_time(), file=sys.stderr)


asyncio.run(main(*sys.argv[1:3]))
