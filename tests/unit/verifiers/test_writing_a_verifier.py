"""The verifier that docs/verifiers.md shows to whoever writes one does what the page says."""

from __future__ import annotations

import importlib.util
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from verifiers.verdicts import Outcome, Verifier

PAGE = Path(__file__).parents[3] / "docs" / "verifiers.md"


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    section = PAGE.read_text().partition("## Writing one")[2]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    file = tmp_path_factory.mktemp("docs") / "isbn.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("isbn", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_tells_right_from_wrong_and_says_when_it_cannot(shown: ModuleType) -> None:
    verifier: Verifier[object] = shown.IsbnVerifier()
    texts = {
        "ISBN 978-0-306-40615-7": Outcome.CONFIRMED,
        "978-0-306-40615-8": Outcome.REFUTED,
        "no number": Outcome.ABSTAINED,
        "1" * 1_000_000: Outcome.ABSTAINED,
        "\u0669" * 13: Outcome.ABSTAINED,
    }
    with ThreadPoolExecutor(4) as threads:
        verdicts = list(
            threads.map(lambda text: verifier.verify(shown.IsbnClaim(text=text), timeout_s=1.0), texts)
        )
    assert [verdict.outcome for verdict in verdicts] == list(texts.values())
    assert all(verdict.reason and json.dumps(verdict.evidence) for verdict in verdicts)
    assert {(verdict.verifier, verdict.version) for verdict in verdicts} == {
        (verifier.name, verifier.version)
    }
