"""Compiled searches for neighbours: exact, on one thread each, without the GIL."""
