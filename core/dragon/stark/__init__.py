"""Zero-knowledge proofs (STARKs): the verifier in plain Python, and the prover in `prover`.

Section numbers in this package refer to the specification: sections 0 to 17 are in
docs/spec/ziggy.md, sections 18 to 18.12 in docs/spec/ziggy-blocks.md. `tests/vectors/ziggy` and
`tests/vectors/blocks` hold the test vectors.
"""
