import pytest

from lightning_itwin.strain.channel_list import ListedChannel, read_channel_list
from lightning_itwin.strain.channel_pieces import ChannelError


def listed(tmp_path, text):
    (tmp_path / "list.ini").write_text(text)
    return read_channel_list(tmp_path / "list.ini")


def test_one_channel_a_line_the_strain_first(tmp_path):
    found = listed(
        tmp_path,
        "\ufeff# channels of the mains\n[witnesses]\n\nV1:Hrec_hoft_raw_20000Hz\n"
        "V1:ENV_WEB_MAG_N 10000 ; magnetometer\nV1:INJ_IMC 1e3 V\nV1:PAY_ANGLE, 50 // slow\n",
    )
    assert found == [
        ListedChannel(name="V1:Hrec_hoft_raw_20000Hz"),
        ListedChannel(name="V1:ENV_WEB_MAG_N", sample_rate_hz=10000.0),
        ListedChannel(name="V1:INJ_IMC", sample_rate_hz=1000.0, unit="V"),
        ListedChannel(name="V1:PAY_ANGLE", sample_rate_hz=50.0),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("V1:A\nV1:B\nV1:A\n", "V1:A stands twice in .*list.ini, again in line 3"),
        ("V1:A\n", "list.ini lists 1 channel; list the strain first"),
        ("", "lists 0 channels"),
        ("V1:A\nV1:B fast\n", "line 2 of .*: 'fast' is no sample rate"),
        ("V1:A\nV1:B -5\n", "'-5' is no sample rate"),
        ("V1:A\nV1:B 5 V more\n", "Cannot read line 2 of .*NAME, NAME RATE or NAME RATE UNIT"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, text, message):
    with pytest.raises(ChannelError, match=message):
        listed(tmp_path, text)


def test_a_list_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No such channel list: .*gone\.ini"):
        read_channel_list(tmp_path / "gone.ini")
