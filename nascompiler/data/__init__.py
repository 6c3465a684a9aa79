"""Models and labelled data that need no download: made here, or read from a pinned package."""
