"""The tab ``itwin`` of TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tensorboard.plugins import base_plugin
from werkzeug.wrappers import Request, Response

from lightning_itwin.reports.tensorboard_plugin.log_folders import LogFolders, roots_of
from lightning_itwin.reports.tensorboard_plugin.made_pages import HOW_TO_BEGIN, PAGES, MadePages

_STATIC = {"index.js": "text/javascript", "index.css": "text/css"}


class ItwinPlugin(base_plugin.TBPlugin):
    """Serves the pages of the runs below TensorBoard's folders, live while they go on.

    Registered as an entry point of ``tensorboard_plugins``. Nothing is read before the tab is asked whether
    it has something to show, and nothing is drawn before it is opened.

    Args:
        context: TensorBoard's.
    """

    plugin_name = "itwin"

    def __init__(self, context: base_plugin.TBContext) -> None:
        flags = context.flags
        self._folders = LogFolders(roots_of(context.logdir or "", getattr(flags, "logdir_spec", "") or ""))
        self._pages = MadePages()

    def get_plugin_apps(self) -> dict[str, Callable[..., Any]]:
        """Give what answers each address."""
        answers = {f"/{name}": self._static for name in _STATIC}
        answers |= {"/choices": self._choices, "/page": self._page}
        return {path: Request.application(answer) for path, answer in answers.items()}

    def is_active(self) -> bool:
        """Tell whether there is a run with records."""
        return self._folders.any_runs()

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Say what the tab is called, and what draws it."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="itwin", disable_reload=True)

    def _static(self, request: Request) -> Response:
        name = request.path.rpartition("/")[2]
        text = Path(__file__).with_name(name).read_text(encoding="utf-8")
        return Response(text, content_type=f"{_STATIC[name]}; charset=utf-8", headers=_HEADERS)

    def _choices(self, request: Request) -> Response:
        told = {
            "pages": [{"name": name, "title": title} for name, (title, _) in PAGES.items()],
            "folders": [
                {"key": one.key, "label": one.label, "runs": one.runs, "changed": one.changed_unix_s}
                for one in self._folders.choices()
            ],
            "how_to_begin": HOW_TO_BEGIN,
        }
        return Response(json.dumps(told), content_type="application/json", headers=_HEADERS)

    def _page(self, request: Request) -> Response:
        name, key = request.args.get("name", ""), request.args.get("folder", "")
        if name not in PAGES:
            return Response(
                f"there is no page {name!r}; the pages are {', '.join(PAGES)}\n", status=404, headers=_HEADERS
            )
        text = self._pages.get(name, self._folders.choice(key))
        return Response(text, content_type="text/html; charset=utf-8", headers=_HEADERS)


_HEADERS = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
