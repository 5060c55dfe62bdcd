"""Moving bytes with presigned requests.

`decide` and `form` are pure; `files` is the only module that touches the local file system; `engine` is the thin
coroutine part that ties them to a `Transport` and a `Signer`.
"""
