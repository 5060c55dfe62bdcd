"""`asyncpresign COMMAND`: finds the command, and turns what it raises into one line and an exit code.

0: done; 1: it failed, the line says why; 2: the call is wrong; 130: stopped by Ctrl-C, with everything cleaned up.
"""

from __future__ import annotations

import sys

from ..errors import MissingExtra, PresignError


def main() -> int:
    """The script's entry point. Returns the exit code."""
    try:
        import click

        from .demo import demo
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        print(MissingExtra("demo", "the command line"), file=sys.stderr)
        return 1
    group = click.Group(
        "asyncpresign", commands={"demo": demo}, help="Presigned S3 URLs and forms: sign them, move bytes with them."
    )
    group = click.version_option(package_name="asyncpresign")(group)
    try:
        return int(group.main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except PresignError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, click.Abort):
        print("Stopped; everything is cleaned up.", file=sys.stderr)
        return 130
