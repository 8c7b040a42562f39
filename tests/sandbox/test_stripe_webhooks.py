"""The local Stripe posts its events to the endpoints that are made through its API."""

import asyncio

import aiohttp
import orjson
from aiohttp import web

from sandbox.stripe import StripeServer, World
from sandbox.stripe.webhooks import WebhookFaults, Webhooks, sign


async def test_endpoint_made_through_the_api_gets_signed_events_again_until_it_answers(
    server: StripeServer, world: World
) -> None:
    connected = str(world.connect()["id"])
    got, refused = list[dict[str, object]](), 1

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal refused
        body, header = await request.read(), request.headers["Stripe-Signature"]
        assert header == sign(secret, body, int(header.partition(",")[0].removeprefix("t=")))
        refused -= 1
        if refused >= 0:
            return web.Response(status=500)
        got.append(orjson.loads(body))
        return web.Response()

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    form = {"url": url, "enabled_events[]": "price.updated", "connect": "true"}
    headers = {"Authorization": f"Bearer {world.key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(f"{server.url}/v1/webhook_endpoints", data=form) as response:
            endpoint = await response.json()
            secret = str(endpoint["secret"])
        async with Webhooks(world, WebhookFaults(doubled=1.0)) as webhooks:
            for account in (connected, world.platform):
                price = world.create("price", account)
                world.update("price", price["id"], account, nickname="new")
            async with asyncio.timeout(10):
                while sum(webhooks.answers.values()) < 3:  # noqa: ASYNC110 - nobody is told
                    await asyncio.sleep(0.01)
            assert webhooks.answers == {500: 1, 200: 2}
            path = f"{server.url}/v1/webhook_endpoints/{endpoint['id']}"
            async with session.post(path, data={"disabled": "true"}) as response:
                assert (await response.json())["status"] == "disabled"
    await runner.cleanup()
    assert [(event["type"], event["account"]) for event in got] == [("price.updated", connected)] * 2
