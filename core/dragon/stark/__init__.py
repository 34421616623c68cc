"""Zero-knowledge proofs (STARKs): the verifier in plain Python, and the prover in `prover`.

Section numbers in this package refer to the specification: sections 0 to 17 are in
docs/spec/ziggy.md, sections 18 to 18.12 in docs/spec/ziggy-blocks.md, and sections 19 to 19.16 in
docs/spec/ziggy-readings.md. `tests/vectors/ziggy`, `tests/vectors/blocks` and
`tests/vectors/readings` hold the test vectors.
"""
