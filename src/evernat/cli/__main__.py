"""`python -m evernat.cli` is `evernat`."""

from evernat.cli.main import main

main()
