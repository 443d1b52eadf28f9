from __future__ import annotations

import pytest

from lightning_itwin.hpo import storage
from lightning_itwin.optional import MissingExtraError


def test_a_database_without_its_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "available", lambda module: False)
    with pytest.raises(
        MissingExtraError, match=r"postgresql://me:\*\*\*@db/x needs one of .*psycopg, psycopg2"
    ):
        storage.with_driver("postgresql://me:secret@db/x")
    monkeypatch.setattr(storage, "available", lambda module: module == "psycopg2")
    assert storage.with_driver("postgresql://me@db/x") == "postgresql+psycopg2://me@db/x"
