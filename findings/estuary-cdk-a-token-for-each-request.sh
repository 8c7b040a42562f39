#!/bin/sh
# estuary-cdk 0.3.0.dev31: a token whose answer does not say when it expires is fetched again before each request.
#
# In OAuth 2.0, "expires_in" is optional in the answer that brings a token, and the answer that Stripe's SDKs declare
# has no such field. The CDK takes the missing time for zero seconds, and fetches a token before every request: the
# number of requests doubles. Each time it sends the refresh token of the configuration, although an answer brought a
# newer one.
#
# Output seen, for three requests:
#   without expires_in: token data token data token data, refresh tokens sent: rt_0 rt_0 rt_0
#   expires_in 3600:    token data data data, refresh tokens sent: rt_0
#
# Needs python3 and a package index. Fails if the CDK asks otherwise.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check estuary-cdk==0.3.0.dev31
cat > "$folder/ask.py" <<'PYTHON'
import asyncio
import logging

from aiohttp import web
from aiohttp.test_utils import TestServer
from estuary_cdk.flow import BaseOAuth2Credentials, OAuth2Spec
from estuary_cdk.http import HTTPMixin, TokenSource


async def asked(expiry: dict[str, int]) -> tuple[str, str]:
    """Three requests with tokens of this expiry: what arrived, and the refresh tokens that were sent."""
    arrived: list[str] = []
    refreshed: list[str] = []

    async def token(request: web.Request) -> web.Response:
        arrived.append("token")
        refreshed.append(str((await request.post())["refresh_token"]))
        tokens = {"access_token": f"at_{len(refreshed)}", "refresh_token": f"rt_{len(refreshed)}"}
        return web.json_response({**tokens, "token_type": "bearer", "livemode": False} | expiry)

    async def data(_: web.Request) -> web.Response:
        arrived.append("data")
        return web.json_response({"object": "list", "data": [], "has_more": False})

    app = web.Application()
    app.router.add_post("/v1/oauth/token", token)
    app.router.add_get("/v1/customers", data)
    async with TestServer(app) as server:
        spec = OAuth2Spec(
            provider="stripe",
            accessTokenBody="",
            authUrlTemplate="",
            accessTokenHeaders={},
            accessTokenResponseMap={},
            accessTokenUrlTemplate=str(server.make_url("/v1/oauth/token")),
        )
        credentials = BaseOAuth2Credentials.for_provider("stripe")(
            client_id="ca_1", client_secret="sk_test_123", refresh_token="rt_0"
        )
        log = logging.getLogger()
        http = HTTPMixin()
        await http._mixin_enter(log)
        http.token_source = TokenSource(oauth_spec=spec, credentials=credentials)
        http.rate_limiter.delay = 0
        for _ in range(3):
            await http.request(log, str(server.make_url("/v1/customers")))
        await http._mixin_exit(log)
    return " ".join(arrived), " ".join(refreshed)


async def main() -> None:
    without, hour = await asked({}), await asked({"expires_in": 3600})
    print(f"without expires_in: {without[0]}, refresh tokens sent: {without[1]}")
    print(f"expires_in 3600:    {hour[0]}, refresh tokens sent: {hour[1]}")
    assert without == ("token data token data token data", "rt_0 rt_0 rt_0")
    assert hour == ("token data data data", "rt_0")


asyncio.run(main())
PYTHON
"$folder/venv/bin/python" "$folder/ask.py"
