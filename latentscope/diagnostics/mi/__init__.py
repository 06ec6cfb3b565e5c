"""Mutual information: api, columns made ready, estimators, null distributions, kernels."""
