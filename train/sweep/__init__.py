"""The paper's grid of networks: latent size x beta, run in parallel, and the page drawn of it."""
