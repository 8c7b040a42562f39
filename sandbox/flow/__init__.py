"""A local runtime for Flow captures: what `flowctl preview` and `flowctl raw` do, without flowctl.

The rooms, each importing only from those below it:

    cli                            commands and flags, as flowctl has them
    preview    discover    spec    one command each
    progress    screen             what a person at a terminal sees meanwhile
    database                       tables of the documents in a DuckDB file
    session                        a capture: its processes, its transactions, its state
    standing                       how far each binding is, as the state tells it
    transaction                    what a session commits at once: documents combined by key, state updates
    connector                      a connector's process, and the lines that go in and come out
    catalog    sops                flow.yaml files, and encrypted configs
    document  state  local_key  logs  yamls  duration  errors

Tests drive a capture without the command line: see `sandbox.flow.session.Capture`.

It runs one capture of `endpoint: local`, keeps a transaction in memory, and knows of JSON Schema what draft
2020-12 says: `format` is not asserted. Materializations, derivations and tests of a catalog are flowctl's.
"""
