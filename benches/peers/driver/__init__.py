"""What `peers.py` is made of: the standard library alone, so that it runs before anything is installed."""
