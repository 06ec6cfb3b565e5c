"""The network and its weights: the only folder that imports torch."""
