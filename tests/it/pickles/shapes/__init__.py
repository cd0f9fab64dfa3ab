"""A package beside the tests."""
