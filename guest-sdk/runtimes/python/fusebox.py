"""The module that functions import: the context of a run, HTTP messages, and the reasons for which the host refuses."""
import json as _json
import urllib.parse as _urls

import _fusebox

_CODES = {
    -2: ("conflict", "the entry was changed since it was read: read it again"),
    -3: ("too-large", "it is larger than the host allows"),
    -4: ("quota", "the quota of stored data is used up: delete what is not needed"),
    -5: ("refused", "the version lacks the grant for it, or the address is not allowed"),
    -6: ("unavailable", "the service is not available now: try again"),
    -7: ("timed-out", "no answer arrived in time"),
    -8: ("invalid", "it is malformed: check names, URL and headers"),
}
_ABSENT = -1
_ANYTHING = -1
_NOTHING = 0
_LEVELS = ("error", "warn", "info", "debug", "trace")


class Refused(Exception):
    """The host refused a call; `code` is conflict, too-large, quota, refused, unavailable, timed-out or invalid."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def _checked(what, result):
    if not isinstance(result, int) or result >= 0:
        return result
    if result == _ABSENT:
        return None
    code, reason = _CODES.get(result, _CODES[-6])
    raise Refused(code, f"{what}: {reason}")


def _bytes(what, value):
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"{what} must be str or bytes, not {type(value).__name__}: use json.dumps for other values")


class _Settings:
    """Values by their names."""

    def __init__(self, kind, read):
        self._kind, self._read = kind, read

    def get(self, name, otherwise=None):
        """Returns a value as text; `otherwise` if there is none."""
        value = _checked(f"{self._kind} {name}", self._read(name))
        return otherwise if value is None else value.decode()

    def __getitem__(self, name):
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name):
        return self.get(name) is not None


class _Kv:
    """The function's own key-value store, which outlives runs."""

    def get(self, key, otherwise=None):
        """Returns a value as bytes; `otherwise` if there is none."""
        entry = self.entry(key)
        return otherwise if entry is None else entry[0]

    def entry(self, key):
        """Returns a value with its revision; None if there is none."""
        found = _checked(f"kv.get {key}", _fusebox.kv_get(_bytes("a key", key)))
        return None if found is None else (found[8:], int.from_bytes(found[:8], "little"))

    def set(self, key, value, ttl=None, revision=_ANYTHING):
        """Sets a value, for `ttl` seconds if given, and returns its revision. With `revision`, only if the entry has it;
        with None, only if there is no entry."""
        ttl_ms = 0 if ttl is None else max(1, int(ttl * 1_000))
        expects = _NOTHING if revision is None else revision
        return _checked(f"kv.set {key}", _fusebox.kv_set(_bytes("a key", key), _bytes("a value", value), ttl_ms, expects))

    def delete(self, key, revision=_ANYTHING):
        """Deletes an entry, only at `revision` if given; returns whether there was one."""
        return _checked(f"kv.delete {key}", _fusebox.kv_delete(_bytes("a key", key), revision)) == 1

    def keys(self, prefix=""):
        """Lists the keys that start with a prefix, in no order."""
        after = b""
        while True:
            page = _texts(_checked("kv.keys", _fusebox.kv_keys(_bytes("a prefix", prefix), after)) or b"")
            yield from (key.decode(errors="replace") for key in page[1:])
            after = page[0] if page else b""
            if not after:
                return


def _texts(page):
    """Splits bytes into those behind each length of 4 bytes."""
    texts, at = [], 0
    while at < len(page):
        end = at + 4 + int.from_bytes(page[at:at + 4], "little")
        texts.append(page[at + 4:end])
        at = end
    return texts


class _Headers(dict):
    """Headers by their names in lower case."""

    def get(self, name, otherwise=None):
        return super().get(name.lower(), otherwise)

    def __getitem__(self, name):
        return super().__getitem__(name.lower())

    def __contains__(self, name):
        return super().__contains__(name.lower())


class _Message:
    @property
    def text(self):
        return self.body.decode(errors="replace")

    def json(self):
        return _json.loads(self.body)


class Request(_Message):
    """A request that the function serves: method, path, query (text), headers by lower-case name, and body (bytes)."""

    def __init__(self, method, path, query, headers, body):
        self.method, self.path, self.query, self.headers, self.body = method, path, query, _Headers(headers), body

    @property
    def args(self):
        """The parameters of the query; the last one of each name."""
        return dict(_urls.parse_qsl(self.query, keep_blank_values=True))


class Response:
    """A response of the function: a body (str, bytes, or a value for JSON), status and headers (dict or pairs)."""

    def __init__(self, body=None, status=200, headers=()):
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"{status!r} is not a status: 200 to 599")
        self.body, self.status = body, status
        self.headers = [(str(name), str(value)) for name, value in (headers.items() if isinstance(headers, dict) else headers)]


class _Answer(_Message):
    """The answer to an outgoing request."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, _Headers(headers), body

    @property
    def ok(self):
        return 200 <= self.status < 300


class _Http:
    """Requests to hosts that the version is granted."""

    def request(self, method, url, headers=None, body=None, json=None):
        """Sends a request; `json` is a value for a body of that type."""
        headers = dict(headers or {})
        if json is not None:
            body = _json.dumps(json)
            headers.setdefault("content-type", "application/json")
        lines = [f"{method} {url}", *(f"{name}: {value}" for name, value in headers.items())]
        message = "\n".join([*lines, "", ""]).encode() + _bytes("a body", body if body is not None else b"")
        answer = _checked(f"{method} {url}", _fusebox.http(message))
        head, _, content = answer.partition(b"\n\n")
        status, *lines = head.decode(errors="replace").split("\n")
        pairs = (line.partition(":") for line in lines)
        return _Answer(int(status), {name.lower(): value.strip() for name, _, value in pairs}, content)

    def get(self, url, headers=None):
        return self.request("GET", url, headers)

    def post(self, url, body=None, headers=None, json=None):
        return self.request("POST", url, headers, body, json)


class Context:
    """Properties of a run, and what the host offers by grants. `deadline` is in Unix seconds."""

    def __init__(self):
        task, attempt, deadline, tenant, function = _fusebox.context().decode().split("\n")[:5]
        self.task = task or None
        self.attempt = int(attempt)
        self.deadline = int(deadline) / 1_000
        self.tenant, self.function = tenant, function
        self.config = _Settings("config", _fusebox.config)
        self.secrets = _Settings("secret", _fusebox.secret)
        self.kv = _Kv()
        self.http = _Http()

    def log(self, message, level="info"):
        """Appends a line to the log; a message that is not text is written as JSON."""
        if level not in _LEVELS:
            raise ValueError(f"{level!r} is not a level: {', '.join(_LEVELS)}")
        text = message if isinstance(message, str) else _json.dumps(message, ensure_ascii=False, default=str)
        _fusebox.log(_LEVELS.index(level) + 1, text)


def context():
    """Returns the context of this run."""
    return Context()
