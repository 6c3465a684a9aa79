"""Machines of the TPU family, one file each."""
