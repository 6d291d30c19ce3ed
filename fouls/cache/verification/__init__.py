"""What can be wrong with a store: one file a part of it, and how each is mended."""
