"""Converters from ATen operators to ops of the `nn` dialect, one family a file."""
