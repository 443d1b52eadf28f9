import json

import numpy as np
import pytest

from lightning_itwin.strain.channel_pieces import Channel
from lightning_itwin.strain.hdf5_channels import write_channels
from lightning_itwin.subtraction.report.__main__ import main
from tests.subtraction.small_subtraction import GPS_S, RATE_HZ, datamodule

pytest.importorskip("matplotlib")


def test_a_report_on_files_of_anybody(tmp_path, capsys):
    data, noise = datamodule(tmp_path)
    cleaned = Channel(
        name="V1:S_DC",
        values=(data.aligned.values[0] - noise)[512:],
        sample_rate_hz=RATE_HZ,
        gps_start_s=GPS_S + 1.0,
    )
    write_channels(tmp_path / "dc.h5", [cleaned])
    (tmp_path / "list.ini").write_text("V1:S\nV1:WITNESS\nV1:OTHER\n")
    (tmp_path / "vetoes.txt").write_text(f"{GPS_S + 11.5} {GPS_S + 12.5} 0.9\n")
    status = main(
        [
            str(tmp_path / "source.h5"),
            *("--cleaned", str(tmp_path / "dc.h5"), "--cleaned_channel", "V1:S_DC"),
            *("--channels", str(tmp_path / "list.ini"), "--sample_rate_hz", str(RATE_HZ)),
            *("--vetoes", str(tmp_path / "vetoes.txt"), "--output", str(tmp_path / "out")),
        ]
    )
    assert status == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "report.html")
    told = json.loads((tmp_path / "out" / "report.json").read_text())
    assert told["recovered_fraction"] == pytest.approx(1.0, abs=0.01)
    assert told["gps_s"] == [GPS_S + 1, GPS_S + 100]


def test_files_that_do_not_fit_are_told_in_a_line(tmp_path, capsys):
    datamodule(tmp_path)
    late = Channel(name="V1:S", values=np.ones(512), sample_rate_hz=RATE_HZ, gps_start_s=GPS_S + 1e6)
    write_channels(tmp_path / "late.h5", [late])
    arguments = [str(tmp_path / "source.h5"), "--channels", "V1:S", "V1:WITNESS", "V1:OTHER"]
    arguments += ["--sample_rate_hz", str(RATE_HZ), "--output", str(tmp_path / "out")]
    assert main([*arguments, "--cleaned", str(tmp_path / "late.h5")]) == 1
    assert "no time of the channels" in capsys.readouterr().err
    assert main([*arguments, "--cleaned", str(tmp_path / "source.h5"), "--cleaned_channel", "V1:X"]) == 1
    assert "V1:X: not in" in capsys.readouterr().err
