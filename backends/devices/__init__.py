"""Where code for other processors runs: an emulator that is started and stopped here, or a board by RPC."""
