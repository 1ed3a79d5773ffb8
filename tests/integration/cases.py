"""Programs and their tests as files that can be read: sections of a text."""

from __future__ import annotations

import re
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"


class Cases:
    """The cases in one folder of ``tests/data``.

    Args:
        folder: Its name.
        comment: What a comment begins with: a case is ``COMMENT ==== name``, its parts are divided by
            ``COMMENT ---- tests`` and ``COMMENT ---- reason TEXT``, and ``COMMENT (name)`` stands for a part.
    """

    def __init__(self, folder: str, *, comment: str) -> None:
        self._folder = DATA / folder
        self._comment = re.escape(comment)
        self.parts = self._sections("parts")

    def read(self, name: str) -> dict[str, list[str]]:
        """Return the parts of each case of a file: program, tests and what else there is."""
        marks = rf"^{self._comment} ---- (?:tests\n|reason )"
        return {
            case: [
                self._whole(part) for part in re.split(marks, text.rstrip("\n") + "\n", flags=re.MULTILINE)
            ]
            for case, text in self._sections(name).items()
        }

    def _sections(self, name: str) -> dict[str, str]:
        text = (self._folder / f"{name}.txt").read_text()
        parts = re.split(rf"^{self._comment} ==== (.+)\n", text, flags=re.MULTILINE)
        return dict(zip(parts[1::2], parts[2::2], strict=True))

    def _whole(self, text: str) -> str:
        pattern = rf"^{self._comment} (\(.+\))\n"
        return re.sub(pattern, lambda part: self.parts[part[1]], text, flags=re.MULTILINE)
