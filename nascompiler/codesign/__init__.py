"""From a search space, a target and data to a measured artifact: all stages, one after the other, resumable."""
