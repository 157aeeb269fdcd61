"""Imports every module of the packages in a folder."""

import importlib
import pkgutil
import sys

for package in pkgutil.iter_modules([sys.argv[1]]):
    module = importlib.import_module(package.name)
    for part in pkgutil.walk_packages(module.__path__, f"{package.name}."):
        importlib.import_module(part.name)
