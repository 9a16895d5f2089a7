"""One module per ACME client: what it is asked to do, and how its command line says so."""
