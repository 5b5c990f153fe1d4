"""Benchmarks: each prints its figures as a ratio to a yardstick measured in the same run. See docs/performance.md."""
