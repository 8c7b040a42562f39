"""The process: starts the connector on stdin and stdout, or with arguments a command of `cli/`."""

from source_stripe_native.flow import process

if __name__ == "__main__":
    # Before the imports, which take a while: they would be interrupted with a traceback.
    process.end_between_lines()

import asyncio
import functools
import gc
import logging
import os
import sys
from typing import BinaryIO, Final, cast

try:
    if __name__ == "__main__":
        process.prepare_imports()
    from source_stripe_native import Connector
except ModuleNotFoundError as error:
    raise SystemExit(
        f"source_stripe_native needs its packages, and {error.name} is not installed here: use the targets "
        "of make (see make help), or `source .venv/bin/activate` once make has set it up"
    ) from None
from estuary_cdk.logger import init_logger

from source_stripe_native.flow.log_lines import ignore_known, one_line, release_output, report
from source_stripe_native.flow.output import WholeLines
from source_stripe_native.flow.requests import read_requests, refuse_stdin
from source_stripe_native.settings import DEFAULTS, Settings

ABOUT: Final = (
    "This is a capture connector: Flow runs it and sends it requests on stdin. To look at an account "
    "yourself, see source-stripe-native --help."
)
WITHOUT_CLI: Final = (
    "The commands need {}, which is not installed here: install source-stripe-native[cli], or use a checkout "
    "of the project."
)
COMPLETION: Final = "_SOURCE_STRIPE_NATIVE_COMPLETE"
"""Set where a shell asks for completions, by click's convention. The script then has no arguments."""


def _collect_garbage(settings: Settings) -> None:
    """Collects garbage from now on. To look through what is there already would hold the loop each time."""
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, settings.middle_collections)
    gc.freeze()
    gc.enable()


def main(settings: Settings = DEFAULTS) -> None:
    process.end_between_lines(settings.line_patience.total_seconds())
    logging.addLevelName(5, "TRACE")  # which Flow has below debug
    try:
        log = init_logger()
    except ValueError:
        logging.getLogger("flow").error("LOG_LEVEL must be error, warn, info, debug or trace: set it to one.")
        raise SystemExit(1) from None
    for handler in logging.getLogger().handlers:
        handler.addFilter(one_line)
    sys.unraisablehook = ignore_known
    try:
        refuse_stdin()
        # What the opening of a capture makes is there to stay.
        gc.disable()
        connector = Connector(settings, functools.partial(_collect_garbage, settings))
        connector.output = cast(BinaryIO, WholeLines(connector.output))
        asyncio.run(connector.serve(log, read_requests))
    except Exception as error:  # noqa: BLE001 - Python would show a traceback
        log.error(report(log, error))
        raise SystemExit(1) from None
    finally:
        release_output()
        gc.freeze()  # Python would look through everything once more at its end


def command() -> None:
    """The console script. Its commands are imported only where there is one: Flow starts many connectors."""
    if len(sys.argv) > 1 or COMPLETION in os.environ:
        try:
            from source_stripe_native.cli import commands
        except ModuleNotFoundError as error:
            raise SystemExit(WITHOUT_CLI.format(error.name)) from None
        gc.freeze()
        gc.enable()
        commands.main(prog_name="source-stripe-native")
    elif sys.stdin is not None and sys.stdin.isatty():
        raise SystemExit(ABOUT)
    else:
        main()


if __name__ == "__main__":
    command()
