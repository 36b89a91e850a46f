"""Speed as ratios against peers, in one run, on generated data: `make bench`."""
