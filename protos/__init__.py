"""The contract: all that two services may both know. See README.md."""
