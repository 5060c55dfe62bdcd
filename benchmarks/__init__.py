"""Commands that measure: `python -m benchmarks NAME [options]`. They print JSON; nothing here asserts a time."""
