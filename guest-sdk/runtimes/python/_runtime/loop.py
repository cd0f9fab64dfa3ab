"""An event loop for async functions: coroutines and timers, without sockets, which a run does not have."""
import asyncio
import selectors
import time


class Selector(selectors._BaseSelectorImpl):
    """Waits for time alone."""

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("the function waits for something that nothing will bring about")
        if timeout > 0:
            time.sleep(timeout)
        return []


class Loop(asyncio.SelectorEventLoop):
    def __init__(self):
        super().__init__(Selector())

    def _make_self_pipe(self):
        pass

    def _close_self_pipe(self):
        pass

    def _write_to_self(self):
        pass


class Policy(asyncio.DefaultEventLoopPolicy):
    _loop_factory = Loop


asyncio.set_event_loop_policy(Policy())


def finished(value):
    """Returns the result of a coroutine or another awaitable; any other value as it is."""
    if not hasattr(value, "__await__"):
        return value

    async def awaited():
        return await value

    return asyncio.run(awaited())
