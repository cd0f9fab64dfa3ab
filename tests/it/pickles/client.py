"""A client of the Python platform, as its users write them: pickled functions over the four routes.

Usage: client.py URL ready       waits until the runtime is compiled, as after the first start of a host
       client.py URL study       18 functions, each with the same outcome as a native call
       client.py URL hostile     30 functions that do harm, each contained within its run
Prints one JSON line for each function; the exit code is 1 if one is not as it should be.
"""

import base64
import collections
import json
import math
import sys
import time
import urllib.error
import urllib.request

import dill

PATIENCE = 120


def request(path, body=None):
    """Returns the status and the JSON of an answer."""
    data = None if body is None else json.dumps(body).encode()
    sent = urllib.request.Request(sys.argv[1] + path, data=data, headers={"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(sent, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def encode(value):
    return base64.encodebytes(dill.dumps(value)).decode()


def decode(text):
    return dill.loads(base64.decodebytes(text.encode()))


def submit(payload, args=(), kwargs=None):
    """Returns the task's id, or the refusal of its function."""
    status, answer = request("/register_function", {"name": "study", "payload": payload})
    if status != 200:
        return None, answer
    body = {"function_id": answer["function_id"], "payload": encode((args, kwargs or {}))}
    status, answer = request("/execute_function", body)
    return (answer["task_id"], None) if status == 200 else (None, answer)


def ready():
    """Registers a function until the host has compiled the runtime; each request waits for that as well."""
    end = time.monotonic() + 5 * PATIENCE
    status, answer = 503, None
    while status == 503 and time.monotonic() < end:
        status, answer = request("/register_function", {"name": "ready", "payload": encode(double)})
    yield "ready", status == 200, answer


def result(task):
    """Polls as clients do; returns the last answer."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        _, answer = request(f"/result/{task}")
        if answer["status"] in ("COMPLETED", "FAILED"):
            return answer
        time.sleep(0.01)
    raise SystemExit(f"the task {task} does not end: {answer}")


def no_op():
    return None


def double(x):
    return 2 * x


def sleep_ms(ms):
    import time

    time.sleep(ms / 1000)
    return ms


def fibonacci(n):
    def inner(n):
        return n if n < 2 else inner(n - 1) + inner(n - 2)

    return inner(n)


def primes(n):
    import math

    sieve = bytearray([1]) * (n + 1)
    for i in range(2, int(math.sqrt(n)) + 1):
        if sieve[i]:
            sieve[i * i :: i] = bytes(len(sieve[i * i :: i]))
    return sum(sieve) - 2


class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def norm(self):
        return (self.x**2 + self.y**2) ** 0.5


def adder(n):
    def add(x, *, scale=1):
        return (x + n) * scale

    return add


def raises(x):
    raise ValueError(f"bad {x}")


def words(text):
    import collections

    return dict(collections.Counter(text.split()))


def names_missing():
    return nowhere  # noqa: F821


def tries(x):
    try:
        squares = [i**2 for i in range(x) if i % 2]
        return squares, {k: v for k, v in zip("abc", range(3))}, f"{x!r:>5}", (lambda y: y + 1)(x)
    except TypeError as error:
        return str(error)
    finally:
        x += 1


def generates(n):
    def values():
        for i in range(n):
            yield i

    return sum(values())


def runs_async(x):
    import asyncio

    async def inner():
        await asyncio.sleep(0)
        return x + 1

    return asyncio.run(inner())


def random_bytes(n):
    import os
    import random

    return len(os.urandom(n)), 0 <= random.random() < 1


def deep(n):
    def down(n):
        return 0 if n == 0 else 1 + down(n - 1)

    return down(n)


def matches(x):
    match x:
        case {"a": int(n)}:
            return n
        case [a, b]:
            return a + b
        case _:
            return None


STUDY = {
    "no-op": (no_op, (), {}),
    "double": (double, (21,), {}),
    "sleep": (sleep_ms, (20,), {}),
    "fibonacci": (fibonacci, (16,), {}),
    "primes": (primes, (10_000,), {}),
    "closure": (adder(5), (1,), {"scale": 3}),
    "lambda": (lambda a, b=2: a**b, (3,), {}),
    "raises": (raises, (1,), {}),
    "words": (words, ("a b a",), {}),
    "method": (Point(3, 4).norm, (), {}),
    "by-reference": (math.sqrt, (16,), {}),
    "names-missing": (names_missing, (), {}),
    "tries": (tries, (7,), {}),
    "generates": (generates, (10,), {}),
    "async": (runs_async, (1,), {}),
    "random": (random_bytes, (8,), {}),
    "deep": (deep, (400,), {}),
    "matches": (matches, ({"a": 3},), {}),
}


def outcome(call):
    """Returns what a call gives: its value, or the exception's class and text."""
    try:
        return ["value", repr(call())]
    except Exception as error:
        return ["error", type(error).__name__, str(error)]


def raised(error):
    raise error


def study():
    tasks = {name: submit(encode(function), args, kwargs) for name, (function, args, kwargs) in STUDY.items()}
    for name, (function, args, kwargs) in STUDY.items():
        native = outcome(lambda: dill.loads(dill.dumps(function))(*args, **kwargs))
        task, refusal = tasks[name]
        if refusal:
            yield name, False, refusal
            continue
        answer = result(task)
        value = decode(answer["result"])
        here = outcome(lambda: value) if answer["status"] == "COMPLETED" else outcome(lambda: raised(value))
        yield name, here == native, {"here": here, "native": native}


class Reduced:
    """Pickles as a call, which loading performs."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def body(source):
    """Returns a function of this source, which imports what it needs in its body."""
    space = {"__name__": "__main__"}
    exec("def f():\n" + "\n".join("    " + line for line in source.splitlines()), space)
    return space["f"]


def raw(pickle):
    return base64.encodebytes(pickle).decode()


def hostile():
    """Functions that do harm, and whether a refusal, a failure or any end is right."""
    import os

    bodies = {
        "fork": "import os\nreturn os.fork()",
        "spawn": "import subprocess\nreturn subprocess.run(['true']).returncode",
        "system": "import os\nif os.system('true') != 0: raise OSError('no shell')",
        "write-file": "open('/etc/passwd', 'w')",
        "read-host-file": "return open('/etc/shadow').read()",
        "overwrite-itself": "open('/app/function.pickle', 'wb')",
        "escape-by-dots": "return open('/app/../../../../etc/hostname').read()",
        "link": "import os\nos.symlink('/etc/passwd', '/tmp/x')\nreturn open('/tmp/x').read()",
        "socket": "import socket\nsocket.create_connection(('127.0.0.1', 22))",
        "listen": "import socket\nsocket.socket().bind(('0.0.0.0', 0))",
        "http": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1/')",
        "thread": "import threading\nthreading.Thread(target=print).start()",
        "endless-loop": "while True: pass",
        "endless-sleep": "import time\ntime.sleep(1e6)",
        "memory": "x = []\nwhile True: x.append(bytearray(1 << 20))",
        "one-large-object": "return len(bytes(1 << 31))",
        "large-number": "return len(str(7 ** (7 ** 9)))",
        "recursion": "f = lambda: f()\nreturn f()",
        "deep-c-stack": "import json\nreturn json.loads('[' * 1000000)",
        "large-result": "return bytes(64 << 20)",
        "output-flood": "import os\nwhile True: os.write(2, b'x' * 65536)",
        "exit": "import sys\nsys.exit(3)",
        "hard-exit": "import os\nos._exit(3)",
        "abort": "import os\nos.abort()",
        "ctypes": "import ctypes\nctypes.string_at(0)",
        "kill": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    }
    for name, source in bodies.items():
        yield name, encode(body(source))
    yield "runs-at-load", encode(Reduced(os.system, "true"))
    yield "exits-at-load", encode(Reduced(os._exit, 0))
    yield "memo-bomb", raw(b"\x80\x04N\x94" + b"".join(b"h%ch%c\x86\x94" % (n, n) for n in range(200)) + b".")
    yield "large-lengths", raw(b"\x80\x04\x8d" + b"\xff" * 7 + b"\x00.")


def contained():
    count = 0
    for name, payload in hostile():
        count += 1
        task, refusal = submit(payload)
        if refusal:
            yield name, refusal["detail"].startswith("Invalid function payload"), refusal["detail"]
            continue
        answer = result(task)
        value = decode(answer["result"])
        # One that ends its interpreter in order, while it is loaded, is no failed run, but has no result either.
        ended = answer["status"] == "FAILED" or "no-result" in repr(value)
        yield name, ended and isinstance(value, BaseException), repr(value)[:200]
    task, refusal = submit(encode(double), (21,))
    yield "count", count == 30, count
    yield "afterwards", refusal is None and decode(result(task)["result"]) == 42, refusal


def main():
    good = True
    for name, is_right, shown in {"ready": ready, "study": study, "hostile": contained}[sys.argv[2]]():
        good = good and is_right
        print(json.dumps([name, is_right, shown], default=repr), flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
