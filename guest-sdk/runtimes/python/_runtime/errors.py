"""Exceptions as their author needs them: without frames of the runtime, and with their place."""
import os
import sys
import traceback

ROOT = "/app/"
OWN = "/runtime/"


def trimmed(error):
    """Removes the frames of the runtime from the traceback of an exception, and of those that it names."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        frames = []
        frame = error.__traceback__
        while frame is not None:
            frames += [] if is_own(frame) else [frame]
            frame = frame.tb_next
        for each, after in zip(frames, [*frames[1:], None]):
            each.tb_next = after
        error.__traceback__ = frames[0] if frames else None
        error = error.__cause__ or error.__context__


def is_own(frame):
    name = frame.tb_frame.f_code.co_filename
    return name.startswith(OWN) or name.startswith("<frozen importlib")


def report(error):
    """Writes an exception with its traceback to stderr."""
    trimmed(error)
    traceback.print_exception(error, file=sys.stderr)
    sys.stderr.flush()


def said(error):
    """Returns what an exception says, in a line."""
    return traceback.format_exception_only(error)[-1].strip()


def problem(error):
    """Returns what `check` says of an exception: its message, and its place, None where that is unknown."""
    trimmed(error)
    if isinstance(error, SyntaxError):
        return place(f"{type(error).__name__}: {error.msg}", error.filename, error.lineno, error.offset)
    frames = [each for each in traceback.extract_tb(error.__traceback__) if each.filename.startswith(ROOT)]
    if not frames:
        return place(said(error), None, None, None)
    last = frames[-1]
    column = getattr(last, "colno", None)
    return place(said(error), last.filename, last.lineno, None if column is None else column + 1)


def place(message, file, line, column):
    if file is None or not file.startswith(ROOT):
        return {"message": message, "file": None, "line": None, "column": None}
    return {"message": message, "file": os.path.relpath(file, ROOT), "line": line, "column": column}
