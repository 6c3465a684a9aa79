"""ARM cores: what is only about them."""
