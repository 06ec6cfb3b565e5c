"""A trained network as a model folder that others load, and on the Hugging Face hub."""
