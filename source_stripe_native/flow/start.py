"""A quick start: what is to be done before the imports, which take most of it.

Rule: this changes when something is made, never what the connector does. It concerns the process that Flow
starts; who imports the connector as a library is left alone.
"""

import gc
import sys
from types import ModuleType
from typing import Final

GOOGLE: Final = {
    "google.auth.credentials": "TokenState",
    "google.auth.transport.requests": "Request",
    "google.oauth2.service_account": "Credentials",
}
"""What the CDK imports for connectors of Google's services, by module. With the HTTP client that comes with
it, it would take a tenth of the start."""


def prepare() -> None:
    # What the imports make is there to stay: a tenth of their time would go into looking for garbage.
    gc.disable()
    for module, name in GOOGLE.items():
        sys.modules.setdefault(module, _without_use(module, name))

    import pydantic

    # Models are built when they are first used: a process uses few of those of the CDK and the catalogue.
    pydantic.BaseModel.model_config["defer_build"] = True


def _without_use(module: str, name: str) -> ModuleType:
    """A module with the class `name`, of which nothing is made."""
    placeholder = ModuleType(module)
    setattr(placeholder, name, type(name, (), {}))
    return placeholder
