"""Does each dimension hold one thing, and each thing sit in one dimension: published measures."""
