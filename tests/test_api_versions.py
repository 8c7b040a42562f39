"""What docs/operate.md says of a change of the API version: which fields differ, and what a running capture
does."""

import re
from typing import Final

from sandbox.stripe import StripeServer, World, facts
from sandbox.stripe.kinds import older
from sandbox.stripe.versions import VERSIONS
from source_stripe_native.stripe.permissions import outside_versions
from tests.capture import ROWS, Capture
from tests.documentation import rows
from tests.test_streams import HELD

NEWEST: Final = next(each for each in VERSIONS if not facts.added("invoice", each))
"""The first version that has what the facts of the SDK have beyond Stripe's document."""
BOUNDS: Final = sorted(
    {each.until for each in older._OLDER} | {each[2] for each in older._ONCE_SHOWN} | {NEWEST}
)
"""The versions in which the local Stripe's objects changed their shape, by their dates at least."""
KINDS: Final = {each.kind for each in older._OLDER} | {each[0] for each in older._ONCE_SHOWN}
STREAMS: Final = [name for name, held in HELD.items() if held.kind in KINDS]


async def fields(server: StripeServer, version: str) -> dict[str, set[str]]:
    """The fields of each stream's documents."""
    streams = [each for each in STREAMS if outside_versions(ROWS[each], version) is None]
    capture = await Capture(server, streams, config={"advanced": {"api_version": version}}).backfill()
    return {each: {name for one in capture.last_by_key(each).values() for name in one} for each in streams}


async def test_the_table_has_each_field_that_a_version_takes_away_or_brings(
    world: World, server: StripeServer
) -> None:
    for kind in KINDS:
        world.create(kind, event=False)
    table = set()
    for bound, streams, away, added in rows("docs/operate.md", "| from version | stream | gone | new |"):
        for stream in streams.split(", "):
            table.add((bound, stream, *(frozenset(re.findall(r"`(\w+)`", each)) for each in (away, added))))
    found = set()
    first = next(index for index, each in enumerate(VERSIONS) if each >= BOUNDS[0])
    before = await fields(server, VERSIONS[first - 1])
    for bound in BOUNDS:
        since = await fields(server, next(each for each in VERSIONS if each >= bound))
        for stream in before.keys() & since.keys():
            gone, new = before[stream] - since[stream], since[stream] - before[stream]
            if gone or new:
                found.add((bound[:10], stream, frozenset(gone), frozenset(new)))
        before = since
    # Of what the newest facts add the page names what matters to many.
    assert {row for row in found if row[0] != NEWEST[:10]} <= table <= found


async def test_a_running_capture_has_the_new_shape_from_an_objects_next_change_on(
    world: World, server: StripeServer
) -> None:
    changed, same = (world.create("product", event=False)["id"] for _ in range(2))
    capture = await Capture(
        server, ["Products"], config={"advanced": {"api_version": "2023-10-16"}}
    ).backfill()
    assert all("features" in each for each in capture.last("Products").values())
    capture.config = {"advanced": {"api_version": "2024-06-20"}}
    world.clock.advance(10)
    world.update("product", changed, name="changed")
    await capture.catch_up()
    documents = capture.last("Products")
    assert "features" in documents[same]
    assert "features" not in documents[changed]
    assert "marketing_features" in documents[changed]
