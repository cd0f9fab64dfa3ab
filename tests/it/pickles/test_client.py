"""Tests of a client program as the Python platform's course has them: its functions are those of a test module, which pytest
imports, so that they are pickled by reference. The service's address is in SERVICE."""

import base64
import json
import os
import time
import urllib.request

import dill
import pytest
import requests  # noqa: F401  used by none of the functions that are sent

from shapes import area

SERVICE = os.environ.get("SERVICE")


def double(x):
    return 2 * x


def factorial(n):
    return 1 if n < 2 else n * factorial(n - 1)


def rectangle(a, b):
    return area.of(a, b) + double(0)


def fails(text):
    raise ValueError(text)


def fetches(url):
    return requests.get(url).status_code


def post(path, body):
    data = json.dumps(body).encode()
    request = urllib.request.Request(SERVICE + path, data=data, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def serialize(value):
    return base64.encodebytes(dill.dumps(value)).decode()


def deserialize(text):
    return dill.loads(base64.decodebytes(text.encode()))


def run(function, *args, **kwargs):
    registered = post("/register_function", {"name": function.__name__, "payload": serialize(function)})
    body = {"function_id": registered["function_id"], "payload": serialize((args, kwargs))}
    task = post("/execute_function", body)["task_id"]
    while True:
        with urllib.request.urlopen(f"{SERVICE}/result/{task}") as answer:
            answer = json.load(answer)
        if answer["status"] in ("COMPLETED", "FAILED"):
            return answer["status"], deserialize(answer["result"])
        time.sleep(0.01)


@pytest.mark.parametrize("x", range(5))
def test_double(x):
    assert run(double, x) == ("COMPLETED", 2 * x)


def test_functions_that_use_others_of_their_module():
    assert run(factorial, 10) == ("COMPLETED", 3628800)
    assert run(rectangle, 3, b=4) == ("COMPLETED", 12)


def test_an_exception_is_unpickled():
    status, error = run(fails, "no")
    assert (status, type(error), str(error)) == ("FAILED", ValueError, "no")


def test_what_is_not_there_fails_when_it_is_used():
    status, error = run(fetches, "http://127.0.0.1/")
    assert (status, type(error)) == ("FAILED", ModuleNotFoundError)
    assert "requests" in str(error)
