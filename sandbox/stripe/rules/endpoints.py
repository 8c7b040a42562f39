"""Webhook endpoints: where events are posted to (webhooks.py)."""

from sandbox.stripe.filters import Json
from sandbox.stripe.rules.act import Write
from sandbox.stripe.rules.defaults import change, create


def create_webhook_endpoint(write: Write) -> Json:
    """Whether an endpoint is for connected accounts shows in none of its fields."""
    endpoint = create(write)
    write.act.world.kept[str(endpoint["id"])] = {"connect": bool(write.given.get("connect"))}
    return endpoint


def update_webhook_endpoint(write: Write) -> Json:
    disabled = write.given.get("disabled")
    return change(write, {} if disabled is None else {"status": "disabled" if disabled else "enabled"})
