"""Training of spectrum autoencoders; imports latentscope, never the reverse."""
