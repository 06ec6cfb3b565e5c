"""What a run shows while it goes: numbers and pictures of its validation rows."""
