"""The recorded benchmark: a space of which every architecture was trained and measured once."""
