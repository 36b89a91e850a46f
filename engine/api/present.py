"""Pure: snapshots into views."""
