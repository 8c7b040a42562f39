"""`python -m sandbox`: a local Stripe, and flowctl's commands for a capture."""

import click

from sandbox.flow.cli import preview, raw
from sandbox.stripe.cli import stripe


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """What a laptop without a Stripe account or flowctl needs."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (preview, raw, stripe):
    main.add_command(command)

if __name__ == "__main__":
    main(prog_name="python -m sandbox")
