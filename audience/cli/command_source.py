"""Declarations of commands, read from their source: names, types and texts of options, without what commands run.

A help screen needs the head of one function, and what its annotations and defaults refer to. To import the module of
`audience count` for it takes longer than all the rest: it loads numpy and pyarrow.
"""

#   from audience.index.query.counting import count_devices      left out: only the body of the function needs it
#   from audience.cli.options import IndexArgument               read from the source of that module in the same way
#   def run_count(output: Output, index: IndexArgument): …       kept, without its body

import ast
import pkgutil
import sys
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module
from typing import Any, cast

PACKAGE = "audience"


def load_declaration(module: str, function: str) -> Callable[..., None]:
    """Return *function* of *module* with its docstring and its parameters, but without a body.

    >>> load_declaration("audience.cli.commands.count", "run_count").__doc__
    'Count the devices of an audience.'
    """
    return cast(Callable[..., None], _run(module, ast.parse(read_source(module)).body, (function,))[function])


@cache
def _load_names(module: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Return *names* as *module* defines them. A module is imported if it was before, or for its functions."""
    statements = [] if module in sys.modules else ast.parse(read_source(module)).body
    functions = {each.name for each in statements if isinstance(each, ast.FunctionDef)}
    if not statements or not functions.isdisjoint(names):
        return {name: getattr(import_module(module), name) for name in names}
    return _run(module, statements, names)


def _run(module: str, statements: list[ast.stmt], names: tuple[str, ...]) -> dict[str, Any]:
    """Return what *names* and all that they need are in the *statements* of *module*."""
    namespace: dict[str, Any] = {"__name__": f"{module}, declared"}
    kept: list[ast.stmt] = []
    for statement in select_statements(statements, names):
        if isinstance(statement, ast.ImportFrom) and f"{statement.module}.".startswith(f"{PACKAGE}."):
            found = _load_names(f"{statement.module}", tuple(each.name for each in statement.names))
            namespace |= {each.asname or each.name: found[each.name] for each in statement.names}
        else:
            kept.append(statement)
    code = compile(ast.fix_missing_locations(ast.Module(kept, [])), f"<declarations of {module}>", "exec")
    exec(code, namespace)
    return namespace


@cache
def read_source(module: str) -> str:
    """Return the source of a module of the package."""
    path = module.removeprefix(f"{PACKAGE}.").replace(".", "/")
    try:
        return (pkgutil.get_data(PACKAGE, f"{path}.py") or b"").decode()
    except FileNotFoundError:
        return (pkgutil.get_data(PACKAGE, f"{path}/__init__.py") or b"").decode()


def select_statements(statements: list[ast.stmt], names: tuple[str, ...]) -> list[ast.stmt]:
    """Return those of the *statements* of a module that *names* need, in order, without what they do not need.

    >>> code = "from x import A, B; B(); run = A"
    >>> [ast.unparse(each) for each in select_statements(ast.parse(code).body, ("run",))]
    ['from x import A', 'run = A']
    """
    bound = {name: _reduce(statement, names) for statement in statements for name in _list_bound(statement)}
    needed, waiting = set[str](), [*names]
    while waiting:
        name = waiting.pop()
        if name in bound and name not in needed:
            needed.add(name)
            waiting += [each.id for each in ast.walk(bound[name]) if isinstance(each, ast.Name)]
    kept = dict.fromkeys(bound[name] for name in bound if name in needed)
    return [_select_imports(each, needed) for each in kept]


def _list_bound(statement: ast.stmt) -> Iterator[str]:
    """Iterate over the names that a statement of a module binds."""
    match statement:
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from ((each.asname or each.name).partition(".")[0] for each in names)
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.Assign(targets=targets):
            yield from (each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name


def _reduce(statement: ast.stmt, names: tuple[str, ...]) -> ast.stmt:
    """Return a class without methods, and a function of *names* without its body; others may be called."""
    if isinstance(statement, ast.ClassDef):
        statement.body = [each for each in statement.body if not isinstance(each, ast.FunctionDef)] or [ast.Pass()]
    if isinstance(statement, ast.FunctionDef) and statement.name in names:
        statement.body = statement.body[:1] if ast.get_docstring(statement) else [ast.Pass()]
    return statement


def _select_imports(statement: ast.stmt, needed: set[str]) -> ast.stmt:
    if isinstance(statement, ast.ImportFrom):
        statement.names = [each for each in statement.names if (each.asname or each.name) in needed]
    return statement
