"""One versioned data file for each target; `nascompiler.backends.target` reads them."""
