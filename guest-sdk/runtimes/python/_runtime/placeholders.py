"""Stand-ins for modules that a function's modules import at their top level, and that are nowhere: programs under test
import their test framework and clients, which the function itself does not use. Using one is a ModuleNotFoundError."""
import contextlib
import importlib.abc
import importlib.machinery
import sys
import types

expected = set()
depth = 0


def expect(names):
    """Adds names of modules, with their parents, which stand-ins may replace."""
    for name in names:
        parts = name.split(".")
        expected.update(".".join(parts[:end]) for end in range(1, len(parts) + 1))


@contextlib.contextmanager
def importing():
    """While this is active, stand-ins accept to be called and subclassed."""
    global depth
    depth += 1
    try:
        yield
    finally:
        depth -= 1


def missing(name):
    top = name.split(".")[0]
    return ModuleNotFoundError(f"No module named {top!r}", name=top)


class Placeholder:
    """An attribute of a module that is nowhere."""

    def __init__(self, module):
        self.__dict__["_module"] = module

    def __call__(self, *args, **kwargs):
        if not depth:
            raise missing(self._module)
        if len(args) == 1 and not kwargs and isinstance(args[0], (types.FunctionType, type)):
            return args[0]
        return Placeholder(self._module)

    def __getattr__(self, name):
        if name.startswith("__") or not depth:
            # What looks for special methods expects an AttributeError.
            raise AttributeError(name) if name.startswith("__") else missing(self._module)
        return Placeholder(self._module)

    def __mro_entries__(self, bases):
        return (object,)


def refusing(self, *args):
    raise missing(self._module)


for each in ("add and bool bytes ceil complex contains delitem divmod enter eq exit float floor floordiv format ge getitem gt "
             "hash index int invert iter le len lshift lt matmul mod mul ne neg next or pos pow radd rand reversed rmul ror "
             "rshift setitem str sub truediv xor").split():
    setattr(Placeholder, f"__{each}__", refusing)


class Module(types.ModuleType):
    """A module that is nowhere."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if not depth:
            raise missing(self.__name__)
        return Placeholder(self.__name__)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name in expected else None

    def create_module(self, spec):
        return Module(spec.name)

    def exec_module(self, module):
        pass


sys.meta_path.append(Finder())
