"""One page that says what a network learned, in the order in which a person asks."""
