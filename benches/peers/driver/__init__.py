"""Modules of `peers.py`. They use the standard library only, so that they run before anything is installed."""
