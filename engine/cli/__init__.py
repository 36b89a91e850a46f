"""The command line: everything the console can do, with --json and stable exit codes."""
