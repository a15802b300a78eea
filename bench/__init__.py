"""Benchmarks: ``python -m bench NAME``. Timings live here, never in tests. See README.md."""
