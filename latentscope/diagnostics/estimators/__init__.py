"""One estimator of mutual information a file, and which of them serves a pair."""
