"""A small world that is the same on every run, down to ids and dates: for demonstrations and snapshots."""

from typing import Any

from sandbox.stripe.world import World

_DAY = 24 * 3600
_BOOKS = 1_704_105_000  # 2024-01-01T10:30:00Z
_MUSIC = 1_717_243_200  # 2024-06-01T12:00:00Z
_FILMS = 1_738_400_400  # 2025-02-01T09:00:00Z

_PRODUCTS = (("Books", _BOOKS), ("Music", _MUSIC), ("Films", _FILMS))

_MONTHLY = {"interval": "month"}
_YEARLY = {"interval": "year"}
_METERED = {"interval": "month", "usage_type": "metered"}

_PRICES: tuple[tuple[str, str, int, dict[str, Any]], ...] = (
    ("Paperback", "Books", _BOOKS + 60, {"unit_amount": 1290}),
    ("Hardcover", "Books", _BOOKS + 60, {"unit_amount": 2490}),
    ("PaperbackOld", "Books", _BOOKS + 60, {"unit_amount": 990, "active": False}),
    (
        "Monthly",
        "Music",
        _MUSIC + 60,
        {"unit_amount": 899, "recurring": _MONTHLY, "lookup_key": "music-monthly"},
    ),
    ("Yearly", "Music", _MUSIC + 60, {"unit_amount": 8990, "recurring": _YEARLY}),
    ("MonthlyOld", "Music", _MUSIC + _DAY, {"unit_amount": 599, "recurring": _MONTHLY, "active": False}),
    ("PerMinute", "Films", _FILMS, {"unit_amount": 2, "currency": "eur", "recurring": _METERED}),
    ("Ticket", "Films", _FILMS, {"unit_amount": 1100, "currency": "eur", "active": False}),
    ("Gift", "Films", _FILMS + _DAY, {"unit_amount": 5000, "nickname": "Gift card", "active": False}),
)


def seeded(seed: int = 0, connected: int = 0, now: int | None = None) -> World:
    """A platform with 3 products and 9 prices of fixed ids and dates, 4 of them archived. `connected`
    accounts more, each with a product and two prices made now. `seed` is for what is created after."""
    world = World(seed, now)
    for name, created in _PRODUCTS:
        world.create("product", id=f"prod_Sandbox{name}", name=name, created=created)
    for name, product, created, fields in _PRICES:
        id = f"price_1Sandbox{product}{name}"
        world.create("price", id=id, product=f"prod_Sandbox{product}", created=created, **fields)
    for _ in range(connected):
        account = world.connect()["id"]
        world.create("product", account)
        world.create("price", account)
        world.create("price", account, active=False)
    return world
