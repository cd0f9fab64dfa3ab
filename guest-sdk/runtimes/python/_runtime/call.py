"""Runs a function: finds it in its file, gives it its input, and writes what it returns."""
import importlib.util
import inspect
import json
import os
import sys

import fusebox
from . import web
from .loop import finished

NAMES = "handle", "handle_http"


def loaded(path):
    """Runs the file of a function, and returns its module."""
    name = os.path.basename(path).removesuffix(".py")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def handlers(module):
    return {name: getattr(module, name) for name in NAMES if callable(getattr(module, name, None))}


def takes_context(function):
    code = getattr(function, "__code__", None)
    if code is not None and not inspect.ismethod(function):
        return code.co_argcount >= 2 or bool(code.co_flags & inspect.CO_VARARGS)
    try:
        kinds = [each.kind for each in inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        return False
    positional = sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
    return positional >= 2 or inspect.Parameter.VAR_POSITIONAL in kinds


def called(function, argument):
    return finished(function(argument, fusebox.context()) if takes_context(function) else function(argument))


def is_json(content_type):
    kind = content_type.split(";")[0].strip().lower()
    return kind.endswith(("/json", "+json"))


def parsed(body):
    """Returns an input as the function gets it: the value if it is JSON, else its bytes."""
    content_type = os.environ.get("CONTENT_TYPE")
    if not content_type and not body:
        return None
    if content_type and not is_json(content_type):
        return body
    try:
        return json.loads(body)
    except ValueError as error:
        if not content_type:
            return body
        raise ValueError(f"the input is not JSON, as its content type says: {error}") from None


def written(value):
    """Returns the output of a value: bytes as they are, anything else as JSON."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def run(path, body):
    """Returns the output of a function."""
    found = handlers(loaded(path))
    is_http = "GATEWAY_INTERFACE" in os.environ
    if is_http and "handle_http" in found:
        return web.output(called(found["handle_http"], web.request(body)))
    if "handle" not in found:
        other = "only handle_http, which serves HTTP requests" if found else "no function handle"
        raise AttributeError(f"{os.path.basename(path)} defines {other}")
    value = called(found["handle"], parsed(body))
    return web.output(value) if is_http else written(value)
