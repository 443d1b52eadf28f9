"""A detector's strain and its witness channels: files, segments, checks, spectra, filters. No Trainer.

From files of any kind to one array, and back to a file::

    listed = read_channel_list("channels.ini")
    aligned = ChannelCache("data/channels").open("frames/*.gwf", listed, sample_rate_hz=1024.0)
    aligned.values, aligned.segments, aligned.notes   # float32 memory map (C, T), usable time, findings
    strain = find_channels("frames/*.gwf", aligned.names[:1])[0][aligned.names[0]]
    write_cleaned("cleaned.h5", strain, [NoiseRun(gps_start_s=..., blocks=[noise])], noise_rate_hz=1024.0)
"""

from typing import TYPE_CHECKING

from lightning_itwin.optional import late_face

if TYPE_CHECKING:
    from lightning_itwin.strain.aligned_channels import AlignedChannels, align_channels
    from lightning_itwin.strain.bns_range import bns_range_mpc
    from lightning_itwin.strain.channel_cache import ChannelCache
    from lightning_itwin.strain.channel_list import ListedChannel, read_channel_list
    from lightning_itwin.strain.channel_pieces import Channel, ChannelError
    from lightning_itwin.strain.cleaned_strain import NoiseRun, write_cleaned, write_frames
    from lightning_itwin.strain.hdf5_channels import read_channels, write_channels
    from lightning_itwin.strain.resampling import resample
    from lightning_itwin.strain.segments import read_segments, write_segments
    from lightning_itwin.strain.sources import find_channels
    from lightning_itwin.strain.strain_batch import StrainBatch

_FILES = {
    "aligned_channels": ("AlignedChannels", "align_channels"),
    "bns_range": ("bns_range_mpc",),
    "channel_cache": ("ChannelCache",),
    "channel_list": ("ListedChannel", "read_channel_list"),
    "channel_pieces": ("Channel", "ChannelError"),
    "cleaned_strain": ("NoiseRun", "write_cleaned", "write_frames"),
    "hdf5_channels": ("read_channels", "write_channels"),
    "resampling": ("resample",),
    "segments": ("read_segments", "write_segments"),
    "sources": ("find_channels",),
    "strain_batch": ("StrainBatch",),
}
__all__ = [
    "AlignedChannels",
    "Channel",
    "ChannelCache",
    "ChannelError",
    "ListedChannel",
    "NoiseRun",
    "StrainBatch",
    "align_channels",
    "bns_range_mpc",
    "find_channels",
    "read_channel_list",
    "read_channels",
    "read_segments",
    "resample",
    "write_channels",
    "write_cleaned",
    "write_frames",
    "write_segments",
]

__getattr__ = late_face(
    __name__, {name: f"{__name__}.{file}" for file, names in _FILES.items() for name in names}
)
