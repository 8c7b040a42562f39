"""What the tests must know of a stream before they can say anything about it.

The tests look up what a stream holds in tables by its name. A row without its entries would fail hundreds of
them, each with an error about the table. So `conftest.py` asks first, and a run ends at once with one line
for each missing entry: the file, the table and what to add.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

from sandbox.stripe.kind import Kind
from sandbox.stripe.paths import match
from source_stripe_native.streams.row import BaseStripeObject

FAMILIES: Final = "source_stripe_native.streams."


class Holds(Protocol):
    @property
    def kind(self) -> str: ...


def missing_entries(
    streams: Sequence[type[BaseStripeObject]], held: Mapping[str, Holds], kinds: Mapping[str, Kind]
) -> list[str]:
    """A line for each entry that `held` (HELD of test_streams.py, by stream) or `kinds` (KINDS of the local
    Stripe, by name) lacks of `streams`, and for each that no stream has."""
    return [
        *(line for each in streams for line in _missing(each, held, kinds)),
        *(
            f"tests/test_streams.py: HELD has {name}, which is not in STREAMS: remove it"
            for name in held.keys() - {each.NAME for each in streams}
        ),
    ]


def forgotten(streams: Sequence[type[BaseStripeObject]]) -> list[str]:
    """A line for each class of the catalogue's files that has a stream's name and is not in `streams`."""
    rows = [BaseStripeObject]
    for each in rows:
        rows += each.__subclasses__()
    return [
        f"source_stripe_native/streams/__init__.py: STREAMS lacks {each.__name__} of "
        f"{each.__module__.rpartition('.')[2]}.py: add it to the end"
        for each in dict.fromkeys(rows)
        if "NAME" in vars(each) and each not in streams and each.__module__.startswith(FAMILIES)
    ]


def _missing(
    stream: type[BaseStripeObject], held: Mapping[str, Holds], kinds: Mapping[str, Kind]
) -> Iterator[str]:
    path = stream.SEARCH_NAME and stream.list_template().format(parent="{}")
    target = match(path) if path else None
    # A path that Stripe documents leads somewhere without a Kind, too: to what the facts say of it.
    names = [each.name for each in target[0].kinds] if target else []
    has_kind = not path or not kinds.keys().isdisjoint(names)
    if not has_kind:
        yield f"sandbox/stripe/kinds: no Kind has {stream.NAME}'s path {path}: add one"
    if stream.NAME not in held:
        name = " or ".join(f'"{each}"' for each in names) or "the Kind's name"
        yield f'tests/test_streams.py: HELD lacks {stream.NAME}: add "{stream.NAME}": Held({name})'
    elif has_kind and held[stream.NAME].kind not in kinds:
        name = held[stream.NAME].kind
        yield f"sandbox/stripe/kinds: no Kind is named {name!r}, which {stream.NAME} has in HELD: add it"
