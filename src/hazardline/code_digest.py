"""What code an output depends on, as a digest: the part of the cache key that notices a changed program.

The rule: start at `hazardline.<stage>.stage`, follow every import of a `hazardline` module (also those inside
functions), and take all modules reached, with their data files (templates, checkpoints, tables beside the modules).
Of a module its syntax tree counts, without docstrings: comments, docstrings and formatting change no output. So an
edit of the report's template makes evaluation again, but not training, which imports nothing of it. Imports by a
computed name are not seen: a stage must not have them.
"""

import ast
from pathlib import Path

from hazardline.files import digest_json, sha256_bytes, sha256_file

PACKAGE = "hazardline"
PACKAGE_ROOT = Path(__file__).parent


def code_digest(stage: str, root: Path = PACKAGE_ROOT) -> str:
    """Hex SHA-256 over the code that a stage uses.

    Args:
        stage: name of the stage.
        root: folder of the `hazardline` package.
    """
    return module_digest(f"{PACKAGE}.{stage}.stage", root)


def module_digest(module: str, root: Path = PACKAGE_ROOT) -> str:
    """Hex SHA-256 over a module and all that it imports of the package; see the head of this module."""
    modules = modules_used(module, root)
    parts = {name: sha256_bytes(ast.dump(_without_docstrings(path)).encode()) for name, path in modules.items()}
    for folder in {path.parent for path in modules.values()} - {root}:
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                parts[path.relative_to(root).as_posix()] = sha256_file(path)
    return digest_json(parts)


def modules_used(start: str, root: Path = PACKAGE_ROOT) -> dict[str, Path]:
    """Every module of the package that a module imports, directly or through others, with its file.

    Raises:
        ValueError: the starting module does not exist.
    """
    first = _file_of(start, root)
    if first is None:
        raise ValueError(f"{start}: there is no such module below {root}")
    found, pending = {start: first}, [first]
    while pending:
        for name in _imports(pending.pop()):
            path = _file_of(name, root)
            if path is not None and name not in found:
                found[name] = path
                pending.append(path)
    return found


def _file_of(module: str, root: Path) -> Path | None:
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    base = root.joinpath(*parts[1:])
    for path in (base.with_suffix(".py") if len(parts) > 1 else base / "__init__.py", base / "__init__.py"):
        if path.is_file():
            return path
    return None


def _imports(path: Path) -> set[str]:
    """Names that may be modules: `from a.b import c` may mean module a.b.c or a name of module a.b."""
    names = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.level:
                raise ValueError(f"{path}:{node.lineno}: relative imports are not used in {PACKAGE}")
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _without_docstrings(path: Path) -> ast.AST:
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_bare_string(part)]  # type: ignore[attr-defined]
    return tree


def _is_bare_string(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
