"""The endpoint config of a file, read as Flow reads it and examined as publish examines it.

Rule: what is refused here is refused by a capture, and the other way round, for the same reason. Two things
differ. The key may come from the environment, and what sops has encrypted is not decrypted.
"""

from pathlib import Path
from typing import Any, Final

import pydantic
from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from source_stripe_native.config import EndpointConfig
from source_stripe_native.errors import ConnectorError
from source_stripe_native.flow.requests import ExaminedRequest, explain, refuse_future, refuse_useless

KEY_VARIABLE: Final = "STRIPE_API_KEY"


class _Constructor(SafeConstructor):
    """Flow reads JSON, which has no dates: a date is the text that it is written as."""


_Constructor.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)


def read_config(path: Path, key: str) -> EndpointConfig:
    """The endpoint config of a file, with `key` where it has none. Raises ConnectorError, which never repeats
    a key, for what cannot be read."""
    content = _content(path)
    if isinstance(content, dict):
        if "sops" in content:
            raise ConnectorError(
                f"{path} is encrypted: decrypt it with sops, or put the key into {KEY_VARIABLE}."
            )
        content.setdefault("credentials", {"access_token": key})
    return examined(content)


def examined(content: Any) -> EndpointConfig:
    """The config as the request that publishes it gives it to the connector. Raises ConnectorError."""
    task = {"name": "check", "connectorType": "IMAGE", "config": content, "bindings": []}
    try:
        request = ExaminedRequest.model_validate({"validate": task})
    except pydantic.ValidationError as error:
        raise ConnectorError(explain(error).removesuffix(" Correct it and publish again.")) from None
    assert request.validate_ is not None
    refuse_future(request.validate_.config)
    refuse_useless(request.validate_.config)
    return request.validate_.config


def _content(path: Path) -> Any:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = _Constructor
    try:
        return yaml.load(path.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        reason = " ".join((error.problem or error.context or "it cannot be read").split())
        raise ConnectorError(f"{path}{line} is not YAML: {reason}: correct the file.") from None
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ConnectorError(
            f"{path} is not YAML: {' '.join(str(error).split())}: correct the file."
        ) from None
    except OSError as error:
        raise ConnectorError(
            f"{path} cannot be read: {error.strerror}: give a file that can be read."
        ) from None
