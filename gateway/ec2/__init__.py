"""EC2: the actions that we have, a file for each noun. What is not here is UnsupportedOperation.

An action is a function of the operation's name, in its noun's file; its keywords are the members
that it takes, and nothing else is taken (gateway/aws/parameters). docs/coverage.md lists them all
(``python -m gateway.coverage``).
"""

import pkgutil
from collections.abc import Iterator
from importlib import import_module

from gateway.aws import model
from gateway.aws.endpoint import Function
from gateway.aws.parameters import keyword
from gateway.ec2 import empty_nouns


def _found() -> Iterator[Function]:
    """The functions of this folder's files that are named as operations."""
    operations = {keyword(operation) for operation in model.load("ec2").operations}
    for each in pkgutil.iter_modules(__path__):
        module = import_module(f"{__name__}.{each.name}")
        for name, value in vars(module).items():
            if name in operations and value.__module__ == module.__name__:
                yield value


ACTIONS: tuple[Function, ...] = (*_found(), *empty_nouns.actions())
