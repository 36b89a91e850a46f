"""The imaging tool: disks in, recovery points out."""
