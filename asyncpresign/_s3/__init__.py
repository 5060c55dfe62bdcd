"""What is S3 and not Signature Version 4; sans-IO.

`operations` says where each parameter of an operation travels, `endpoints` which host and path a bucket has,
`documents` builds and reads the bodies that travel beside a presigned request, in XML, which `xml` alone knows.
"""
