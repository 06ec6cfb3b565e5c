"""What a network learns from, batch by batch."""
