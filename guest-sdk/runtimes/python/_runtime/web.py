"""HTTP requests to functions, as CGI programs get and answer them."""
import json
import os

import fusebox


def request(body):
    """Returns the request of this run."""
    env = os.environ
    headers = {name[len("HTTP_"):]: value for name, value in env.items() if name.startswith("HTTP_")}
    headers.update((name, env[name]) for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if env.get(name))
    headers = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    method = env.get("REQUEST_METHOD", "GET")
    return fusebox.Request(method, env.get("PATH_INFO") or "/", env.get("QUERY_STRING", ""), headers, body)


def response(value):
    """Returns the response of what a function returned: one, or its body, or its body, status and headers."""
    if isinstance(value, fusebox.Response):
        return value
    if isinstance(value, tuple) and 2 <= len(value) <= 3:
        return fusebox.Response(*value)
    return fusebox.Response(value, 204 if value is None else 200)


def encoded(body):
    """Returns the bytes of a body, and their content type."""
    if body is None:
        return b"", None
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body), "application/octet-stream"
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(), "application/json"


def output(value):
    """Returns what a CGI program writes for a value that a function returned."""
    answer = response(value)
    body, content_type = encoded(answer.body)
    lines = [f"Status: {answer.status}"]
    if content_type and not any(name.lower() == "content-type" for name, _ in answer.headers):
        lines.append(f"Content-Type: {content_type}")
    for name, text in answer.headers:
        if any(letter in f"{name}{text}" for letter in "\r\n\0"):
            raise ValueError(f"the header {name!r} contains a line break")
        lines.append(f"{name}: {text}")
    return "\r\n".join([*lines, "", ""]).encode() + body
