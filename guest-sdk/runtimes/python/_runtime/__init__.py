"""The part of the runtime that is written in Python; its image holds it, with the modules that it imports."""
