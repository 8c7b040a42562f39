"""Endpoint configs that sops encrypted: the `sops` program decrypts them, and finds its keys by itself."""

import asyncio
from typing import Any

import orjson

from sandbox.flow.errors import CatalogError


async def decrypted(config: dict[str, Any]) -> dict[str, Any]:
    """The config as the connector gets it: as it is, unless it has sops' stanza. Raises CatalogError."""
    if not isinstance(stanza := config.get("sops"), dict):
        return config
    command = ["sops", "--decrypt", "--input-type", "json", "--output-type", "json", "/dev/stdin"]
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    except FileNotFoundError as error:
        raise CatalogError(
            "the endpoint config is encrypted: install sops (getsops.io) to decrypt it"
        ) from error
    out, err = await process.communicate(orjson.dumps(config))
    if process.returncode:
        reason = " ".join(err.decode(errors="replace").split())
        raise CatalogError(f"sops can't decrypt the endpoint config: {reason}")
    plain: dict[str, Any] = _without_suffix(orjson.loads(out), stanza.get("encrypted_suffix"))
    return plain


def _without_suffix(value: Any, suffix: str | None) -> Any:
    """`value` with the suffix, which told sops what to encrypt, taken off its keys."""
    if isinstance(value, dict):
        return {name.removesuffix(suffix or ""): _without_suffix(v, suffix) for name, v in value.items()}
    if isinstance(value, list):
        return [_without_suffix(v, suffix) for v in value]
    return value
