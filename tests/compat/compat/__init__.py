"""Runs public modules on Fusebox and compares each end with the one that modules.toml records."""
