"""What moving a latent dimension does to the decoded spectrum, measured; blind to models."""
