import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from lightning_itwin.subtraction.report.measure import measure
from lightning_itwin.subtraction.report.page import About, write_report
from lightning_itwin.subtraction.report.words import findings, headline
from tests.subtraction.small_subtraction import DURATION_S, GPS_S, RATE_HZ, data_and_noise, subtraction

pytest.importorskip("matplotlib")
ABOUT = About(model="a <model>", strain="V1:S", witnesses=2, notes=["V1:OTHER: 3 samples are NaN"])


@pytest.fixture(scope="module")
def evidence():
    rows = [[GPS_S + 11.5, GPS_S + 12.5, 0.9]]
    return measure(subtraction(vetoes=np.array(rows)))


@pytest.fixture(scope="module")
def written(evidence, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return folder, write_report(folder, evidence, ABOUT)


class Checked(HTMLParser):
    """Keeps a stack of elements, and what pictures say."""

    def __init__(self):
        super().__init__()
        self.open, self.alts, self.ids = [], [], []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag == "img":
            self.alts.append(attributes["alt"])
        elif tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_is_whole_and_loads_nothing(written):
    folder, figures = written
    text = (folder / "report.html").read_text()
    page = Checked()
    page.feed(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert len(page.alts) == len(figures)
    assert all(len(alt) > 30 for alt in page.alts)
    assert not re.search(r"(src|href)=\"(?!data:|https://doi\.org|#)", text)
    assert "a &lt;model&gt;" in text
    assert "V1:OTHER: 3 samples are NaN." in text


def test_figures_follow_the_light_of_the_page(written):
    folder, _ = written
    text = (folder / "report.html").read_text()
    for content in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", text):
        assert "prefers-color-scheme: dark" in base64.b64decode(content).decode()
    assert len(list((folder / "figures").glob("*.png"))) == len(written[1])


def test_tables_beside_the_page(written, evidence):
    folder, _ = written
    told = json.loads((folder / "report.json").read_text())
    assert told["bns_range_mpc"]["after"] == pytest.approx(evidence.range_mpc["after"].mean())
    assert told["cleaned_s"] == DURATION_S
    rows = (folder / "bands.csv").read_text().splitlines()
    assert rows[0].startswith("low_hz,high_hz,rms_before")
    assert rows[1].startswith("10,20,")
    assert (folder / "channels.csv").read_text().splitlines()[1].startswith("V1:WITNESS,")


def test_the_headline_says_gain_share_and_harm(evidence):
    assert re.fullmatch(
        r"The BNS range is [\d.]+ Mpc where it was [\d.]+ Mpc \(\+[\d.]+ %\)\. The ideal subtraction reaches "
        r"[\d.]+ Mpc; 100 % of that gain is won\. In no band of 1 Hz is the strain more than 1 % worse than "
        r"before, beyond chance\.",
        headline(evidence),
    )
    time_s = np.arange(round(DURATION_S * RATE_HZ)) / RATE_HZ
    harmed = measure(subtraction(with_truth=False, extra=3e-23 * np.sin(2 * np.pi * 150.2 * time_s)))
    assert re.search(r"Around 15[01] Hz the strain is [\d.]+ % worse than before\.$", headline(harmed))


def test_a_gain_stands_beside_the_test_of_signals(evidence):
    gain, safe, harmless, glitches = findings(evidence)
    assert (gain.question, gain.verdict) == ("BNS range", ("gain", "good"))
    assert safe.verdict in (("safe", "good"), ("within the error", "warn"))
    assert harmless.verdict == ("harmless", "good")
    assert glitches.question == "witnessed glitches removed"
    assert (findings(evidence, 0.0)[1].answer, findings(evidence, 0.0)[1].verdict[0]) == ("0.00", "safe")
    assert findings(evidence, 0.4)[1].verdict == ("unsafe channel", "bad")
    _, _, truth = data_and_noise()
    unsafe = measure(subtraction(extra=0.5 * truth["truth/injections"]))
    assert findings(unsafe)[1].verdict == ("unsafe channel", "bad")
    unknown = findings(measure(subtraction(with_truth=False)))[1]
    assert (unknown.answer, unknown.verdict) == ("not known", ("not tested", "warn"))
