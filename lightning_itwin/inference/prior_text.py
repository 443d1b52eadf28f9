"""The text of a prior file: what bilby reads, made one line a parameter and free of anything that acts."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

_NUMPY_NAMES = {"pi", "inf", "log", "log10", "exp", "sqrt", "sin", "cos", "arcsin", "arccos", "deg2rad"}
_ALLOWED = (
    ast.Expression,
    ast.Call,
    ast.keyword,
    ast.Name,
    ast.Attribute,
    ast.Constant,
    ast.List,
    ast.Tuple,
    ast.Load,
    ast.UnaryOp,
    ast.BinOp,
    ast.operator,
    ast.unaryop,
)


def read_prior_text(path: str | Path) -> str:
    """Read a prior file, or one that the package brings by its name.

    Args:
        path: a file, or ``"et_14"``, ``"et_small"``, ``"ligo_bbh"``.

    Raises:
        ValueError: there is no such file.
    """
    if Path(path).is_file():
        return Path(path).read_text(encoding="utf-8")
    packaged = resources.files("lightning_itwin.inference") / "prior_files"
    name = str(path).removesuffix(".prior")
    if (packaged / f"{name}.prior").is_file():
        return (packaged / f"{name}.prior").read_text(encoding="utf-8")
    names = sorted(entry.name.removesuffix(".prior") for entry in packaged.iterdir())
    raise ValueError(f"{path} is no prior file, and none that the package brings: {', '.join(names)}.")


def parse_prior_text(text: str) -> dict[str, str]:
    """Split the text of a prior file into parameters and expressions.

    bilby evaluates what stands in a prior file and imports the modules that it names. A text may come from
    somebody else's checkpoint, so only numbers, strings, numpy's constants and functions, and bilby's own
    classes are let through.

    Returns:
        parameter -> expression, in the order of the file.

    Raises:
        ValueError: a line that is no ``name = expression``, a name twice, or an expression that is not one
            of bilby's priors.

    >>> parse_prior_text("# masses\\nchirp_mass = Uniform(minimum=20, maximum=60)\\ndec = -0.5")
    {'chirp_mass': 'Uniform(minimum=20, maximum=60)', 'dec': '-0.5'}
    """
    expressions: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, equals, expression = (part.strip() for part in line.partition("="))
        if not equals or not name.isidentifier() or not expression:
            raise ValueError(f"Line {number} of the prior file is no 'name = prior': {line!r}.")
        if name in expressions:
            raise ValueError(f"{name} stands twice in the prior file, the second time in line {number}.")
        _check(name, expression)
        expressions[name] = expression
    if not expressions:
        raise ValueError("The prior file names no parameter.")
    return expressions


@contextmanager
def units_in_latex() -> Iterator[None]:
    """Let Python read units in LaTeX, as bilby's prior files have them, without warnings."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*invalid escape sequence")
        yield


def _check(name: str, expression: str) -> None:
    try:
        with units_in_latex():
            tree = ast.parse(expression, mode="eval")
    except SyntaxError as error:
        raise ValueError(f"The prior of {name} cannot be read: {expression}.") from error
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        dotted = isinstance(node, ast.Name | ast.Attribute) and id(node) not in inner
        if not isinstance(node, _ALLOWED) or (dotted and not _is_known(ast.unparse(node))):
            raise ValueError(
                f"The prior of {name} may hold numbers, numpy's constants and bilby's priors only, not "
                f"{ast.unparse(node)!r}."
            )


def _is_known(dotted: str) -> bool:
    parts = dotted.split(".")
    if any(part.startswith("_") for part in parts):
        return False
    if parts[0] in ("np", "numpy"):
        return len(parts) == 2 and parts[1] in _NUMPY_NAMES
    if parts[0] == "bilby":
        return len(parts) == 4 and parts[1] in ("core", "gw") and parts[2] == "prior"
    return len(parts) == 1 and (parts[0] in ("pi", "inf") or parts[0][0].isupper())
