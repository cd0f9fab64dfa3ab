"""The standard library inside the runtime's image: compiled, compressed, and imported from there."""
import importlib.abc
import importlib.machinery
import marshal
import os
import sys
import zlib

# Modules that need a terminal, a window, a compiler or the source tree, and the tests.
LEFT_OUT = {"__pycache__", "__phello__", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests",
            "tkinter", "turtledemo"}


class Image(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules by their names: whether each is a package, and its code."""

    def __init__(self):
        self.modules = {}

    def add(self, root):
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(name for name in folders if name not in LEFT_OUT and not name.startswith("config-"))
            for file in sorted(files):
                if file.endswith(".py"):
                    self.add_file(root, os.path.join(folder, file))

    def add_file(self, root, path):
        parts = os.path.relpath(path, root)[:-len(".py")].split(os.sep)
        is_package = parts[-1] == "__init__"
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        name = ".".join(parts[:-1] if is_package else parts)
        self.modules[name] = is_package, zlib.compress(marshal.dumps(code), 9)

    def find_spec(self, name, path=None, target=None):
        found = self.modules.get(name)
        return found and importlib.machinery.ModuleSpec(name, self, origin="image", is_package=found[0])

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(marshal.loads(zlib.decompress(self.modules[module.__name__][1])), module.__dict__)


def close(paths):
    """Takes what is on the path into the image, and replaces the path by that of functions."""
    image = Image()
    for root in sys.path:
        image.add(root)
    # Behind the modules of the interpreter itself and before files, so that no file replaces a part of the runtime.
    sys.meta_path.insert(2, image)
    sys.path[:] = paths
    sys.path_importer_cache.clear()
