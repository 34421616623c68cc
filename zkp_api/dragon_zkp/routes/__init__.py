"""The HTTP routes of the prover service."""
