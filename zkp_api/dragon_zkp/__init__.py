"""The prover service: makes and verifies zero-knowledge proofs for the owner of the data."""
