"""`python -m sandbox`: a local Stripe, and flowctl's commands for a capture."""

import gc

if __name__ == "__main__":
    # What the imports make is there to stay: looking through it for garbage takes time, here and at the end.
    gc.disable()

try:
    import click

    from sandbox.flow.cli import preview, raw
    from sandbox.stripe.cli import stripe
except ModuleNotFoundError as error:
    if str(error.name).startswith("sandbox"):
        raise
    raise SystemExit(
        f"python -m sandbox needs the project's packages, and {error.name} is not installed here: use the "
        "targets of make (see make help), or `source .venv/bin/activate` once make has set it up"
    ) from None


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """What a laptop without a Stripe account or flowctl needs."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (preview, raw, stripe):
    main.add_command(command)

if __name__ == "__main__":
    gc.freeze()
    gc.enable()
    main(prog_name="python -m sandbox")
