"""The image cache: fetch, verify, inspect, publish; behind drivers.Images."""
