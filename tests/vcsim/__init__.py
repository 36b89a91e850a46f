"""vcsim, and a proxy in front of it that fails as hosts fail."""
