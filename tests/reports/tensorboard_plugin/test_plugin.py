from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("tensorboard")
from tensorboard.plugins.base_plugin import TBContext
from werkzeug.test import Client

from lightning_itwin.reports.tensorboard_plugin import ItwinPlugin
from tests.browser import dump_dom, in_browser
from tests.reports.synthetic import epoch, wall_time, write_run


def plugin_of(logdir: Path) -> ItwinPlugin:
    return ItwinPlugin(TBContext(logdir=str(logdir), flags=SimpleNamespace(logdir_spec="")))


def ask(plugin: ItwinPlugin, route: str, **query: str) -> Any:
    return Client(plugin.get_plugin_apps()[route]).get(route, query_string=query)


def write_sweep(folder: Path) -> None:
    for workers in (1, 2):
        records = [epoch(number, rank, 2.0) for number in range(3) for rank in range(workers)]
        records += [wall_time(rank) for rank in range(workers)]
        write_run(folder, "ddp", workers, 0, 2.0, records=records)


def test_tensorboard_finds_it() -> None:
    [found] = [one for one in entry_points(group="tensorboard_plugins") if one.name == "itwin"]
    assert found.load() is ItwinPlugin


def test_a_folder_with_runs(tmp_path: Path) -> None:
    write_sweep(tmp_path)
    plugin = plugin_of(tmp_path)
    assert plugin.is_active()
    told = ask(plugin, "/choices").json
    assert [page["name"] for page in told["pages"]][:2] == ["goodput", "scalability"]
    [folder] = told["folders"]
    assert (folder["label"], folder["runs"]) == ("all runs", 2)
    page = ask(plugin, "/page", name="goodput", folder=folder["key"])
    assert page.content_type.startswith("text/html")
    assert "records/ddp-w2-r0" in page.text


def test_the_scalability_report_leaves_the_logs_as_they_are(tmp_path: Path) -> None:
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    write_sweep(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    plugin = plugin_of(tmp_path)
    [folder] = ask(plugin, "/choices").json["folders"]
    assert "Scalability of virgo" in ask(plugin, "/page", name="scalability", folder=folder["key"]).text
    assert sorted(tmp_path.rglob("*")) == before


def test_energy_and_carbon(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 2.0)
    plugin = plugin_of(tmp_path)
    key = ask(plugin, "/choices").json["folders"][0]["key"]
    page = ask(plugin, "/page", name="sustainability", folder=key)
    assert "Energy and carbon" in page.text
    assert "kWh" in page.text


def test_a_folder_without_runs_says_what_to_do(tmp_path: Path) -> None:
    plugin = plugin_of(tmp_path)
    assert not plugin.is_active()
    assert ask(plugin, "/choices").json["folders"] == []
    page = ask(plugin, "/page", name="goodput", folder="")
    assert "Trainer(callbacks=[GPUMonitor(), CommunicationProfiler(), CarbonTracker()])" in page.text


def test_runs_that_cannot_be_compared_say_why(tmp_path: Path) -> None:
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    write_run(tmp_path, "ddp", 1, 0, 2.0)
    write_run(tmp_path, "ddp", 2, 0, 2.0, workload="another")
    plugin = plugin_of(tmp_path)
    key = ask(plugin, "/choices").json["folders"][0]["key"]
    assert "workload" in ask(plugin, "/page", name="scalability", folder=key).text


def test_a_page_is_made_again_when_its_runs_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning_itwin.reports.tensorboard_plugin import log_folders, made_pages

    made = []
    pages = {"goodput": ("Time", lambda folder: made.append(folder) or str(len(made)))}
    monkeypatch.setattr(made_pages, "PAGES", pages)
    monkeypatch.setattr(log_folders.LogFolders, "_stale", lambda self: True)
    write_run(tmp_path, "ddp", 1, 0, 2.0)
    plugin = plugin_of(tmp_path)
    key = ask(plugin, "/choices").json["folders"][0]["key"]
    assert [ask(plugin, "/page", name="goodput", folder=key).text for _ in range(2)] == ["1", "1"]
    write_run(tmp_path, "ddp", 2, 0, 2.0)
    assert ask(plugin, "/page", name="goodput", folder=key).text == "2"


def test_an_unknown_page_is_not_found(tmp_path: Path) -> None:
    answer = ask(plugin_of(tmp_path), "/page", name="../../etc/passwd")
    assert answer.status_code == 404
    assert "goodput" in answer.text


@pytest.fixture
def tensorboard(tmp_path: Path) -> Iterator[str]:
    """Start a real TensorBoard over a sweep; give its address."""
    write_sweep(tmp_path / "logs")
    running = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", str(tmp_path / "logs"), "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stderr is not None
        lines = iter(running.stderr.readline, "")
        found = (re.search(r"http://\S+?:(\d+)/", line) for line in lines)
        port = next(match for match in found if match)[1]
        yield f"http://localhost:{port}"
    finally:
        running.terminate()
        running.wait(timeout=30)


@in_browser
def test_a_real_browser_on_a_real_tensorboard(tensorboard: str, tmp_path: Path) -> None:
    listing = urllib.request.urlopen(f"{tensorboard}/data/plugins_listing").read().decode()
    assert '"itwin": {"disable_reload": true, "enabled": true' in listing
    told = dump_dom(
        f"{tensorboard}/data/plugin_entry.html?name=itwin",
        tmp_path,
        *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=8000"),
    )
    assert "CONSOLE" not in told.stderr, told.stderr
    assert re.findall(r'role="tab"[^>]*>([^<]+)<', told.stdout) == [
        "Where the time went",
        "Scalability",
        "Energy and carbon",
    ]
    assert re.search(r'<iframe [^>]*src="[^"]*/data/plugin/itwin/page\?name=goodput', told.stdout)
    assert ">2 runs<" in told.stdout
