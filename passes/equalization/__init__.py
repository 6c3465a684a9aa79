"""Cross-layer equalisation: which channels may be scaled, and by how much; `passes.equalize_cross_layer` does it."""
