"""One file per --mode: each is one call of the API."""
