"""Whole clouds for tests: simulated in one thread, or wired with real gRPC and HTTP (README.md)."""
