"""Sinks under random faults: `make chaos`."""
