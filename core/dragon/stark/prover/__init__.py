"""The prover. It uses numpy and kernels compiled by numba; the verifier does not import it."""
