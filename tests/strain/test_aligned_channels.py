import warnings

import numpy as np
import pytest

from lightning_itwin.strain.aligned_channels import align_channels
from lightning_itwin.strain.hdf5_channels import Channel, ChannelError

STRAIN = 1e-21


def tone(name, rate_hz=256.0, start_s=1e9, duration_s=8.0, frequency_hz=5.0, **changes):
    time_s = start_s - 1e9 + np.arange(round(duration_s * rate_hz)) / rate_hz
    values = STRAIN * np.sin(2 * np.pi * frequency_hz * time_s)
    return Channel(name=name, values=values, sample_rate_hz=rate_hz, gps_start_s=start_s, **changes)


def with_value(channel, index, value):
    values = channel.values.copy()
    values[index] = value
    return Channel(
        name=channel.name,
        values=values,
        sample_rate_hz=channel.sample_rate_hz,
        gps_start_s=channel.gps_start_s,
    )


def test_channels_on_one_clock_pass_unchanged():
    a, b = tone("a", unit="strain"), tone("b", frequency_hz=7.0)
    aligned = align_channels([a, b], 256.0)
    np.testing.assert_array_equal(aligned.values, [a.values, b.values])
    assert (aligned.names, aligned.units, aligned.duration_s) == (("a", "b"), ("strain", ""), 8.0)
    assert aligned.bandwidth_hz == (128.0, 128.0)


@pytest.mark.parametrize("rate_hz", [64.0, 100.0, 1024.0, 16384.0])
def test_resampled_channels_keep_their_time(rate_hz):
    a, b = tone("a"), tone("b", rate_hz=rate_hz)
    aligned = align_channels([a, b], 256.0)
    inner = slice(256, -256)
    np.testing.assert_allclose(aligned.values[1, inner], aligned.values[0, inner], atol=2e-5 * STRAIN)
    assert aligned.bandwidth_hz[1] == min(rate_hz, 256.0) / 2


def test_resampling_leaves_a_drifting_channel_alone_at_its_ends():
    drift = Channel(name="d", values=STRAIN * (5.0 + np.arange(512.0)), sample_rate_hz=64.0, gps_start_s=0.0)
    aligned = align_channels([drift], 256.0)
    np.testing.assert_allclose(aligned.values[0] / STRAIN, 5.0 + np.arange(2048) / 4, atol=2e-5)


def test_gps_offsets_are_cut_to_the_common_time():
    early, late = tone("early"), tone("late", start_s=1e9 + 1.5, duration_s=4.0)
    with pytest.warns(UserWarning, match=r"Of 8 s, .* 4 s in common: late begins at GPS 1000000001\.500"):
        aligned = align_channels([early, late], 256.0)
    assert (aligned.gps_start_s, aligned.duration_s) == (1e9 + 1.5, 4.0)
    np.testing.assert_allclose(aligned.values[0], aligned.values[1], atol=1e-9 * STRAIN)


def test_less_than_a_second_is_cut_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (
            align_channels([tone("a"), tone("b", start_s=1e9 + 0.5, duration_s=7.5)], 256.0).duration_s == 7.5
        )


def test_a_fraction_of_a_sample_is_made_up_for():
    late = tone("b", start_s=1e9 + 0.25 / 256)
    with pytest.warns(UserWarning, match=r"b: starts 0\.25 of a sample off the strain's clock"):
        aligned = align_channels([tone("a", frequency_hz=5.01), late], 256.0)
    time_s = aligned.gps_start_s - 1e9 + np.arange(aligned.values.shape[1]) / 256
    expected = STRAIN * np.sin(2 * np.pi * 5.0 * time_s)
    inner = slice(64, -64)
    np.testing.assert_allclose(aligned.values[1, inner], expected[inner], atol=2e-5 * STRAIN)


def test_no_common_time_is_refused_with_all_spans():
    with pytest.raises(
        ChannelError, match=r"no time in common(.|\n)*a: GPS 1000000000(.|\n)*b: GPS 1000000100"
    ):
        align_channels([tone("a"), tone("b", start_s=1e9 + 100)], 256.0)


def test_a_rate_without_a_whole_ratio_is_refused():
    with pytest.raises(ChannelError, match=r"b: 255\.983 Hz and 256 Hz have no ratio"):
        align_channels([tone("a"), tone("b", rate_hz=255.98347)], 256.0)


def test_every_fault_is_named_at_once():
    dead = with_value(tone("dead"), slice(None), 4.0)
    gone = with_value(tone("gone"), slice(None), np.nan)
    with pytest.raises(ChannelError, match="cannot be used") as error:
        align_channels([tone("good"), dead, gone, tone("copy")], 256.0)
    assert str(error.value).splitlines()[1:] == [
        "dead: constant (4) over all its 2048 samples. Leave it out.",
        "gone: all of its 2048 samples are NaN or infinite. Leave it out.",
        "copy: the same samples as good. Leave one of them out.",
    ]
    empty = with_value(tone("empty", duration_s=0.0), slice(None), 0.0)
    with pytest.raises(ChannelError, match=r"(?s)empty: has no samples.*other: 255\.983 Hz"):
        align_channels([tone("good"), empty, tone("other", rate_hz=255.98347)], 256.0)


def test_what_is_not_finite_becomes_a_gap_with_a_word():
    nan = with_value(tone("nan", frequency_hz=2.0), slice(256, 266), np.nan)
    infinite = with_value(tone("infinite", frequency_hz=3.0), -1, np.inf)
    with pytest.warns(UserWarning, match="That time is left out") as told:
        aligned = align_channels([tone("good"), nan, infinite], 256.0)
    assert str(told[0].message).splitlines() == [
        "nan: 10 of 2048 samples are NaN or infinite, in 1 stretch, the first at GPS "
        "1000000001.000000. That time is left out.",
        "infinite: 1 of 2048 samples are NaN or infinite, in 1 stretch, the first at GPS "
        "1000000007.996094. That time is left out.",
    ]
    assert aligned.segments.tolist() == [[0, 256], [266, 2047]]
    for first, last in aligned.segments:
        assert np.isfinite(aligned.values[:, first:last]).all()
    assert np.isnan(aligned.values[1, 256:266]).all()


def test_a_strain_that_stands_still_is_a_gap():
    filled = with_value(tone("filled"), slice(512, 1024), 0.0)
    with pytest.warns(UserWarning, match="filled: 51[23] of 2048"):
        aligned = align_channels([filled, tone("b", frequency_hz=7.0)], 256.0)
    assert len(aligned.segments) == 2


def test_a_wrong_unit_is_refused_and_a_wrong_size_told():
    with pytest.raises(ChannelError, match="a: the strain has the unit 'm'"):
        align_channels([tone("a", unit="m"), tone("b", frequency_hz=7.0)], 256.0)
    large = with_value(tone("a"), slice(None), np.sin(np.arange(2048.0)))
    with pytest.warns(UserWarning, match="a: the strain reaches 1; that of a detector stays below"):
        align_channels([large, tone("b")], 256.0)


def test_gaps_of_a_resampled_channel_leave_its_neighbours_alone():
    slow = with_value(tone("slow", rate_hz=64.0), slice(200, 260), np.nan)
    whole = align_channels([tone("a"), tone("slow", rate_hz=64.0)], 256.0)
    with pytest.warns(UserWarning, match="slow: 60 of 512"):
        aligned = align_channels([tone("a"), slow], 256.0)
    assert aligned.segments.tolist() == [[0, 800], [1040, 2048]]
    far = slice(0, 800 - 160)
    np.testing.assert_array_equal(aligned.values[1, far], whole.values[1, far])
