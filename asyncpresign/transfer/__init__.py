"""Moving bytes with presigned requests.

`decide`, `form`, `integrity`, `paths` and `plan` are pure; `files`, `sinks`, `sources` and `tree` are the only modules that
touch the local file system; `exchange` ties them to a `Transport` and a `Signer`; `downloads` and `uploads` are made of
exchanges, and `engine` chooses between them.
"""
