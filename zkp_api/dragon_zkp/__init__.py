"""The prover: makes and checks zero-knowledge proofs for whoever owns the data."""
