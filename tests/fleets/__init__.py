"""Fleets of nodes on real brokers, under faults, and a judge who knows what each socket must have heard."""
