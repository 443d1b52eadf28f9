"""Events as TensorBoard reads them: scalars, texts, and what its hparams tab shows of a run."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_itwin.optional import require

REPORT = "report"
_MARK = "written-by-lightning-itwin.txt"


def own_folder(folder: Path) -> Path:
    """Give an empty folder for a report: one that is not there yet, or that an earlier report wrote.

    Args:
        folder: the folder for ``tensorboard --logdir``.
    """
    number = 1
    while True:
        report = folder / (REPORT if number == 1 else f"{REPORT}-{number}")
        if not report.exists() or (report / _MARK).exists():
            break
        number += 1
    if report.exists():
        shutil.rmtree(report)
    report.mkdir(parents=True)
    (report / _MARK).write_text("Every report removes this folder and writes it anew.\n", encoding="utf-8")
    return report


def write_events(folder: Path, summaries: Iterable[tuple[Any, int]]) -> None:
    """Write summaries and their steps into a run's folder.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """
    require("tensorboard", extra="report")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for summary, step in summaries:
        writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
    writer.close()


def scalar(tag: str, value: float) -> Any:
    """Give the summary of a number."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=tag, simple_value=value)])


def text_tensor(tag: str, text: bytes, plugin: str) -> Any:
    """Give the summary of a text for one of TensorBoard's tabs."""
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.compat.proto.tensor_pb2 import TensorProto
    from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

    one = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    return Summary(
        value=[
            Summary.Value(
                tag=tag,
                metadata=SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=plugin)),
                tensor=TensorProto(dtype="DT_STRING", string_val=[text], tensor_shape=one),
            )
        ]
    )


def experiment(parameters: Sequence[Mapping[str, str | float]], metrics: Mapping[str, str]) -> Any:
    """Give the summary that says which hyperparameters and metrics the hparams tab shows.

    Args:
        parameters: value by name of each run.
        metrics: title by tag.
    """
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    kinds = {str: api_pb2.DATA_TYPE_STRING, float: api_pb2.DATA_TYPE_FLOAT64, bool: api_pb2.DATA_TYPE_BOOL}
    values: dict[str, set[str | float]] = {}
    for run in parameters:
        for name, value in run.items():
            values.setdefault(name, set()).add(value)
    found = api_pb2.Experiment(
        # TensorBoard shows what differs first, and finds out itself only where there is no experiment.
        hparam_infos=[
            api_pb2.HParamInfo(name=name, type=kinds[type(next(iter(known)))], differs=len(known) > 1)
            for name, known in values.items()
        ],
        metric_infos=[
            api_pb2.MetricInfo(name=api_pb2.MetricName(tag=tag), display_name=title)
            for tag, title in metrics.items()
        ],
    )
    return _hparams("experiment", plugin_data_pb2.HParamsPluginData(experiment=found))


def session(
    parameters: Mapping[str, str | float], ok: bool, started_unix_s: float, ended_unix_s: float
) -> Iterable[tuple[Any, int]]:
    """Give the summaries that make a run one line of the hparams tab.

    Args:
        parameters: value by name.
        ok: whether it ended well.
        started_unix_s, ended_unix_s: when.
    """
    from google.protobuf.struct_pb2 import Value
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    start = plugin_data_pb2.SessionStartInfo(start_time_secs=started_unix_s)
    for name, value in parameters.items():
        known = Value(string_value=value) if isinstance(value, str) else Value(number_value=value)
        start.hparams[name].CopyFrom(known)
    status = api_pb2.STATUS_SUCCESS if ok else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=ended_unix_s)
    yield _hparams("session_start_info", plugin_data_pb2.HParamsPluginData(session_start_info=start)), 0
    yield _hparams("session_end_info", plugin_data_pb2.HParamsPluginData(session_end_info=end)), 0


def png_size(png: bytes) -> tuple[int, int]:
    """Read width and height from a PNG's header (ISO/IEC 15948, 11.2.2)."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def folder_name(name: str) -> str:
    """Give a name of a run that is a folder below ours, whatever the name holds.

    >>> folder_name("../records/a/b")
    'a-b'
    """
    return "-".join(part for part in Path(name).parts if part not in ("..", "/", "records")) or "run"


def _hparams(name: str, content: Any) -> Any:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

    data = SummaryMetadata.PluginData(plugin_name="hparams", content=content.SerializeToString())
    metadata = SummaryMetadata(plugin_data=data)
    return Summary(value=[Summary.Value(tag=f"_hparams_/{name}", metadata=metadata)])
