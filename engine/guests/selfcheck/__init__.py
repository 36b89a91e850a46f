"""Scripts that users run in a guest after a test start: they read, and print JSON; nothing else."""
