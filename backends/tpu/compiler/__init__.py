"""From regions of a quantised network to programs of the TPU."""
