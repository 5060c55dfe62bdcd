"""The bodies that travel beside presigned requests, for everybody: see `_s3.documents`.

body = build_delete_objects(["a.txt", ("b.txt", "version")])
response = await transfer.send(presigner.presign("delete_objects", {"Bucket": "bucket"}), body)
for failed in parse_delete_objects(response.body).errors: ...
"""

from ._s3.documents import *  # noqa: F403 (its `__all__`)
from ._s3.documents import __all__ as __all__
