"""The benchmark suite: ours and theirs, side by side in one run, as medians and ratios."""
