"""Columns, groups and names: what the estimators are given."""
