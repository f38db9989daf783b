"""Startup latency and micro benchmarks."""
