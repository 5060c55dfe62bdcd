"""AWS Signature Version 4, sans-IO: text in, text out. No clock, no environment, no socket; standard library only.

The modules follow the stages of the specification, each stage's output feeding the next: `canonical` (what is
signed), `signing` (scope, string to sign, key, signature), `presign` (query-string authentication) and
`post_policy` (browser-based uploads).
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""
