"""Writes docs/reference/ and the generated tables of docs/ from the schemas, the command lines and the benchmarks:
`python -m docs.generate`."""
