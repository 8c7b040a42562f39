"""Notices: lines about single objects, of which there may be as many as there are objects.

Rule: the first of its kind in each stream is at info, the others are at debug. So a log tells that something
happens, and stays short.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from source_stripe_native.errors import StripeError, is_refusal
from source_stripe_native.stripe.pages import Source


def notice(source: Source, message: str, about: Mapping[str, Any]) -> None:
    """Writes a line about one object of the stream. `message` is its kind, `about` says which object."""
    kind, level = (source.stream.NAME, message), logging.DEBUG
    if kind not in source.http.noticed:
        source.http.noticed.add(kind)
        message, level = f"{message}. Others of the stream are told at debug", logging.INFO
    source.log.log(level, message, {"stream": source.stream.NAME, **about})


@dataclass
class Asked:
    is_refused: bool = False


@contextmanager
def refusals_noticed(source: Source, message: str, about: Mapping[str, Any]) -> Iterator[Asked]:
    """Ends the block where Stripe refuses for good what it asks, with a notice."""
    asked = Asked()
    try:
        yield asked
    except StripeError as error:
        if not is_refusal(error):
            raise
        asked.is_refused = True
        notice(source, message, {**about, "error": error.answer})
