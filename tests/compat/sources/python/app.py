"""Reverses its input, as a component of world `plain`."""

from wit_world import exports


class Handler(exports.Handler):
    def handle(self, input: bytes) -> bytes:
        return bytes(reversed(input))
