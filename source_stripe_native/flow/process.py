"""The process that Flow starts: what it does before the imports, and how a signal ends it.

Rule: a line of stdout that was begun is ended at SIGINT and SIGTERM, and no other is begun. The process waits
for that line alone, and leaves at once at a second signal. Nothing is lost: the state is Flow's, and a
document counts only with the checkpoint after it. Temporary files have no name, so that none stays behind.

This module imports no other of the connector. Who imports the connector as a library is left alone.
"""

import gc
import os
import signal
import sys
import threading
from types import FrameType, ModuleType
from typing import Final

PLACEHOLDERS: Final = {
    "google.auth.credentials": ("TokenState",),
    "google.auth.transport.requests": ("Request",),
    "google.oauth2.service_account": ("Credentials",),
    "estuary_cdk.capture.webhook.match": ("CollectionMatchingSpec", "UrlMatch"),
}
"""What the CDK imports by module for connectors of Google's services, and for those that write the posts they
get. With the HTTP client and the HTTP server that come with it, it would take a seventh of the start."""


def prepare_imports() -> None:
    """Makes the imports quicker, which take most of the start."""
    # What the imports make is there to stay: a tenth of their time would go into looking for garbage.
    gc.disable()
    for module, names in PLACEHOLDERS.items():
        placeholder = ModuleType(module)
        placeholder.__dict__.update({name: type(name, (), {}) for name in names})
        sys.modules.setdefault(module, placeholder)

    # To look for plugins of pydantic would take a twentieth. The connector has none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "true")
    import pydantic

    # Models are built when they are first used: a process uses few of those of the CDK and the catalogue.
    pydantic.BaseModel.model_config["defer_build"] = True


class Lines:
    """The lines of stdout. `under_way` is held by the thread that writes, from the first byte of lines to the
    last. None is begun once the process `is_ending`."""

    under_way: Final = threading.Lock()
    is_ending = False


def end_between_lines(patience: float = 0.0) -> None:
    """Ends the process at the first SIGINT or SIGTERM, with the exit code 130 or 143, as soon as no line is
    under way, at the latest after `patience` seconds.

    The handlers are explicit because the kernel ignores a signal without one in process 1 of a container.
    They are not the event loop's, which would wait for its turn."""

    def end(number: int, _frame: FrameType | None) -> None:
        if not Lines.is_ending:
            Lines.is_ending = True
            Lines.under_way.acquire(timeout=patience)  # a second signal interrupts it
        # Not by an exception: asyncio would wait for the thread that writes to stdout. A flush of stderr
        # could wait for its reader, and each log line has been flushed already.
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
