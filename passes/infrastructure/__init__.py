"""What all passes share: contracts, registry, pipelines, manager, instruments, patterns, rewriter."""
