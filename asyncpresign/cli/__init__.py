"""The command line: `main` is the entry point, every other module one command."""
