"""Where a study's rows live: a journal file by default, or any storage that Optuna has a URL for."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_itwin.hpo.study_plan import StudyError
from lightning_itwin.optional import require

if TYPE_CHECKING:
    import optuna

JOURNAL = "journal.log"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql", "oracle")


def storage_url(given: str | None, folder: Path) -> str:
    """Give the URL of a study's storage, paths in it made absolute.

    Args:
        given: what the user named; None for a journal file in the study's folder.
        folder: of the study.

    Raises:
        StudyError: it is no URL of a known kind.

    >>> storage_url(None, Path("/data/study"))
    'journal:///data/study/journal.log'
    >>> storage_url("grpc://login1:13000", Path("study"))
    'grpc://login1:13000'
    """
    if given is None:
        return f"journal://{(folder / JOURNAL).absolute()}"
    kind, separator, rest = given.partition("://")
    if not separator:
        return f"journal://{Path(given).absolute()}"
    if kind == "journal":
        return f"journal://{Path(rest).absolute()}"
    if kind == "sqlite" and rest.startswith("/") and rest[1:] not in ("", ":memory:"):
        return f"sqlite:///{Path(rest[1:]).absolute()}"
    if kind == "grpc" and rest.rpartition(":")[2].isdigit():
        return given
    if kind.partition("+")[0] in _DATABASES[1:]:
        return given
    raise StudyError(
        f"storage {given!r} is not known; give a path or journal:///path for a journal file, sqlite:///path, "
        "postgresql://..., mysql://..., or grpc://host:port for Optuna's proxy"
    )


def open_storage(url: str, *, mend: bool = False) -> optuna.storages.BaseStorage:
    """Open a storage.

    Args:
        url: of :func:`storage_url`.
        mend: whether a journal that foreign writers left broken is put in order first.

    Raises:
        MissingExtraError: Optuna is not installed.
    """
    optuna = require("optuna", extra="hpo")
    kind, _, rest = url.partition("://")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        if kind == "journal":
            from lightning_itwin.hpo.journal import WholeJournal

            Path(rest).parent.mkdir(parents=True, exist_ok=True)
            journal = WholeJournal(rest)
            if mend and (count := journal.mend()):
                print(f"{rest}: {count} broken lines of a killed writer were mended", file=sys.stderr)
            return optuna.storages.JournalStorage(journal)
        if kind == "grpc":
            host, _, port = rest.rpartition(":")
            return optuna.storages.GrpcStorageProxy(host=host, port=int(port))
        return optuna.storages.RDBStorage(url)


def storage_errors() -> tuple[type[Exception], ...]:
    """Give what a storage that is gone, broken or full may raise."""
    optuna = require("optuna", extra="hpo")
    found: list[type[Exception]] = [OSError, ValueError, RuntimeError, LookupError, AttributeError, TypeError]
    found.append(optuna.exceptions.OptunaError)
    for module, name in (("grpc", "RpcError"), ("sqlalchemy.exc", "SQLAlchemyError")):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)
