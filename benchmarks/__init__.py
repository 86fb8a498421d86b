"""Benchmarks: what waiting and importing cost, beside other providers. See docs/benchmarks.md."""
