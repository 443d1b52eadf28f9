from __future__ import annotations

import re
from pathlib import Path

import pytest

from lightning_itwin.reports.error import ReportError
from lightning_itwin.reports.goodput_page import goodput_page, ledger_section
from lightning_itwin.reports.scalability import read_scalability
from tests.reports.synthetic import epoch, wall_time, write_run


def widths(html: str) -> list[float]:
    """Give the sum of the widths of each bar."""
    bars = re.findall(r'<div class="bar".*?</div>', html)
    return [sum(float(width) for width in re.findall(r"width:([\d.]+)%", bar)) for bar in bars]


def test_the_page_has_a_bar_a_run_the_newest_first(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 2.0, records=[epoch(0, 0, 2.0), wall_time()], started_unix_s=1000.0)
    write_run(tmp_path, "horovod", 2, 0, 2.0, records=[epoch(0, 0, 2.0), wall_time()], started_unix_s=2000.0)
    write_run(tmp_path, "deepspeed", 1, 0, 2.0)  # an older version's, without such a row
    html = goodput_page(tmp_path)
    assert re.findall(r'<th scope="row">records/([\w-]+)', html) == ["horovod-w2-r0", "ddp-w1-r0"]
    assert widths(html) == pytest.approx([100.0, 100.0], abs=0.01)
    assert "deepspeed-w1-r0 has no row of its wall time" in html
    assert "horovod on 2 workers" in html
    assert "computation 50.0 %" in html


def test_a_folder_without_a_row_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"EpochTimer\(\).*among the Trainer's callbacks"):
        goodput_page(tmp_path)


def test_the_reports_section_has_a_bar_a_row_of_the_results(tmp_path: Path) -> None:
    for repeat in range(2):
        records = [epoch(number, 0, 2.0) for number in range(3)]
        write_run(tmp_path, "ddp", 1, repeat, 2.0, records=[*records, wall_time(training_s=90.0 + repeat)])
    html = ledger_section(read_scalability(tmp_path, ()))
    assert "mean of 2 runs" in html
    assert widths(html) == pytest.approx([100.0], abs=0.01)


def test_a_report_of_older_records_has_no_section(tmp_path: Path) -> None:
    write_run(tmp_path, "ddp", 1, 0, 2.0)
    assert ledger_section(read_scalability(tmp_path, ())) == ""
