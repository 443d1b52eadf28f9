"""Where a study's rows live: a journal file by default, or any storage that Optuna has a URL for."""

from __future__ import annotations

import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_itwin.hpo.study_plan import StudyError
from lightning_itwin.optional import MissingExtraError, available, require

if TYPE_CHECKING:
    import optuna

JOURNAL = "journal.log"
_PASSWORD = re.compile(r"(://[^:/@]*:)[^@]*@")
_DRIVERS = {
    "postgresql": {"psycopg": "psycopg", "psycopg2": "psycopg2"},
    "mysql": {"pymysql": "pymysql", "mysqldb": "MySQLdb"},
}
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
    url = with_driver(url)
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
            require("grpc", extra="hpo")
            host, _, port = rest.rpartition(":")
            return optuna.storages.GrpcStorageProxy(host=host, port=int(port))
        return optuna.storages.RDBStorage(url)


def with_driver(url: str) -> str:
    """Name the installed library in a database's URL; SQLAlchemy's own choice changes with its version.

    Raises:
        MissingExtraError: there is none.

    >>> with_driver("postgresql+pg8000://host/studies"), with_driver("sqlite:///studies.db")
    ('postgresql+pg8000://host/studies', 'sqlite:///studies.db')
    """
    kind, _, rest = url.partition("://")
    drivers = _DRIVERS.get(kind)
    if drivers is None:
        return url
    found = [name for name, module in drivers.items() if available(module)]
    if not found:
        raise MissingExtraError(
            f"storage {shown(url)} needs one of the libraries {', '.join(drivers)}: pip install "
            f"{'lightning-itwin[hpo]' if kind == 'postgresql' else next(iter(drivers))!r}"
        )
    return f"{kind}+{found[0]}://{rest}"


def shown(url: str) -> str:
    """Give a storage's URL as it may be shown, without its password.

    >>> shown("postgresql://tuner:secret@db1/studies")
    'postgresql://tuner:***@db1/studies'
    """
    return _PASSWORD.sub(r"\1***@", url)


def connection_errors() -> tuple[type[Exception], ...]:
    """Give what a storage on a server raises while that is away."""
    optuna = require("optuna", extra="hpo")
    found: list[type[Exception]] = [optuna.exceptions.StorageInternalError]
    for module, name in (("grpc", "RpcError"), ("sqlalchemy.exc", "DBAPIError")):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


def storage_errors() -> tuple[type[Exception], ...]:
    """Give what a storage that is gone, broken or full may raise."""
    optuna = require("optuna", extra="hpo")
    found: list[type[Exception]] = [OSError, ValueError, RuntimeError, LookupError, AttributeError, TypeError]
    found.append(optuna.exceptions.OptunaError)
    for module, name in (("grpc", "RpcError"), ("sqlalchemy.exc", "SQLAlchemyError")):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)
