"""A real S3 server on loopback, for tests and demos: `async with local_s3() as s3`. The pytest fixtures are in
`asyncpresign.testing.pytest_plugin`.
"""

from .server import LocalS3, local_s3

__all__ = ["LocalS3", "local_s3"]
