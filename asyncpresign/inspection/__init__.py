"""Presigned URLs and forms from the other side: what they say, whether they hold, and why a server refused one.

For gateways, brokers and tests. Nothing is sent; the standard library is enough. The clock's default is the machine's.
"""

from .._sigv4.comparison import Difference
from .checks import Check
from .explanation import Explanation, explain_url
from .reading import CredentialsFinder, InspectedURL, inspect_url
from .verification import Verification, verify_post, verify_url

__all__ = [
    "Check",
    "CredentialsFinder",
    "Difference",
    "Explanation",
    "InspectedURL",
    "Verification",
    "explain_url",
    "inspect_url",
    "verify_post",
    "verify_url",
]
