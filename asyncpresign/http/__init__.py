"""HTTP as the transfer needs it: `transport` has the protocol, `aiohttp_transport` the one import of aiohttp's client."""
