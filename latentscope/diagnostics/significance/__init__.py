"""What mutual information says of independent columns: null distributions, p and q values."""
