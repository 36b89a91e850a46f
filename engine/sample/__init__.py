"""Makes a small real site to look at: a guest, its images, their replication."""
