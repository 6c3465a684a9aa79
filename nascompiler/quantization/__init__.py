"""Quantising a network as a user sees it: data, quantisation, accuracy, sensitive layers, verdict and report."""
