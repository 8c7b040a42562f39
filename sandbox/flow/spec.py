"""`raw spec`: what a connector says of itself."""

import orjson

from sandbox.flow.session import Capture

_FIELDS = (
    "protocol",
    "configSchema",
    "resourceConfigSchema",
    "documentationUrl",
    "resourcePathPointers",
    "oauth2",
)


async def spec_line(capture: Capture) -> bytes:
    """The spec as one line, its fields in the order of the protocol."""
    spec = await capture.spec()
    told = {name: spec[name] for name in _FIELDS if spec.get(name) is not None}
    return orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE)
