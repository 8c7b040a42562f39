"""How a backfill is read: the loop over pages, slices, progress, superseded ids."""
