"""Seeded simulation of the transfer engine: virtual time, an in-memory network, an in-memory S3, faults, crashes.

`loop` is the event loop, `network` the connections below aiohttp, `bucket` and `server` the S3 behind them, `disk` the files;
`world` puts them together for one seed, `workloads` says what is moved, `check` what must hold afterwards, and `runner` runs
seeds, replays and shrinks them. `python -m benchmarks simulate` is the command; docs/simulation.md the manual.
"""
