"""Moving bytes with presigned requests.

`decide` and `form` are pure; `files` is the only module that touches the local file system; `exchange` ties them to a
`Transport` and a `Signer`; `downloads` and `uploads` are made of exchanges, and `engine` chooses between them.
"""
