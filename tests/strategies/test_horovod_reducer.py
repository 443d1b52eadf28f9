import json
import re
from pathlib import Path

import pytest

from lightning_itwin.optional import available

pytestmark = [
    pytest.mark.world,
    pytest.mark.skipif(not available("horovod.torch"), reason="no Horovod built"),
]
SCRIPT = Path(__file__).with_name("reducer_world.py")
CASES = re.findall(r"^    (\w+),$", SCRIPT.read_text().partition("CASES = [")[2], re.MULTILINE)


@pytest.fixture(scope="module")
def failures(world, tmp_path_factory):
    file = tmp_path_factory.mktemp("reducer") / "failures.json"
    end = world(SCRIPT.name, file, starter="horovodrun")
    assert file.exists(), end.output[-5000:]
    return json.loads(file.read_text())


@pytest.mark.parametrize("case", CASES)
def test_reducer(failures, case):
    assert failures[case] == ""
