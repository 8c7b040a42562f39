"""The connector as a process of its own, with its request budget lifted."""

from bench.run import lift_budget
from source_stripe_native.__main__ import main

lift_budget()
main()
