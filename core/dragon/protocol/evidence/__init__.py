"""Evidence for disputes: what each operator saw of a node and answered, signed by the operator."""
