"""Judge pairs with Math-Verify, in an environment of its own; started by ``compare`` and needs nothing of ours.

Reads one JSON object with ``gold`` and ``pred`` per line on standard input; writes one with ``same`` and ``s``
(seconds) per line on standard output.
"""

from __future__ import annotations

import json
import sys
import time


def main() -> None:
    """Judge all lines."""
    from math_verify import parse, verify  # noqa: PLC0415 - only its environment has it

    verify(parse("1"), parse("2"))  # the first call loads its grammar
    for line in sys.stdin:
        pair = json.loads(line)
        started = time.perf_counter()
        same = bool(verify(parse(pair["gold"]), parse(pair["pred"])))
        sys.stdout.write(json.dumps({"same": same, "s": time.perf_counter() - started}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
