"""Areas."""


def of(a, b):
    return a * b
