"""Signers: `base` has the protocols, `presigner` the synchronous core, every other module one backend."""
