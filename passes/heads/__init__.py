"""What `attach-head` is made of: the trunk of a classifier, and how each head is put on it."""
