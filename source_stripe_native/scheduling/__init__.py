"""How many connected accounts share the work: poller, queue, scheduler, subtasks."""
