from pathlib import Path

import pytest

from lightning_itwin import presets


def test_a_file_comes_before_a_preset_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert presets.find("virgo").parent != Path()
    Path("virgo").write_text("model: {}\n")
    assert presets.find("virgo") == Path("virgo")


def test_what_is_neither_is_named_with_the_presets() -> None:
    names = "drought, drought_adige, glitch, gw, gw_ligo, gw_small, virgo"
    message = rf"'vigro' is neither a file .* nor a preset. Presets: {names}"
    with pytest.raises(FileNotFoundError, match=message):
        presets.find("vigro")


@pytest.mark.parametrize(
    "arguments", [["fit", "--config", "virgo"], ["fit", "--config=virgo"], ["fit", "-c", "virgo"]]
)
def test_a_command_line_gets_the_presets_path(arguments: list[str]) -> None:
    assert presets.resolve([*arguments, "--trainer.max_epochs", "2"])[-3].endswith("virgo.yaml")


def test_a_configs_text_stays() -> None:
    text = "model:\n  class_path: a.B\n"
    assert presets.resolve(["--config", text]) == ["--config", text]
