"""What a year of work looks like: who submits what and when, drawn from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

MONTH_MS = 30 * 86_400_000
N_MONTHS = 12
TENANTS = ("default", "acme", "small")
KIND_OF_DOMAIN = ("math",) * 8 + ("code",) * 4 + ("qa",) * 4 + ("text",) * 2 + ("diagnosis",) * 2
DOMAINS = tuple(f"{kind}-{i:02}" for i, kind in enumerate(KIND_OF_DOMAIN))
MODELS = ("qwen2.5-coder-0.5b", "qwen2.5-coder-1.5b", "qwen2.5-coder-7b")
SECOND_MODEL = "smollm2-1.7b"  # sorts after the others, as its place in the templates does
FIRST_CALIBRATION = "00000000000070008000000000000001"
WORK_MS = 20_000  # from submission to the first decision of a batch
LABEL_DELAY_MS = 1_800_000
LARGEST_BATCH = 5000


def tenant_of(batch: int) -> str:
    """Return whose batch it is: one in a hundred is the small tenant's, one in ten acme's."""
    return TENANTS[2] if batch % 100 == 39 else TENANTS[1] if batch % 10 == 7 else TENANTS[0]


def uuid7(ms: int, rng: random.Random) -> str:
    """Return a uuid7 of this millisecond, in hexadecimal."""
    bits = rng.getrandbits(72)
    return f"{ms:012x}7{bits & 0xFFF:03x}8{bits >> 12:015x}"


def at(ms: int) -> str:
    """Return a time as Postgres reads it."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Year:
    """The twelve months before ``until_ms``, shared out among batches."""

    n: int
    until_ms: int

    @property
    def start_ms(self) -> int:
        """When it begins."""
        return self.until_ms - N_MONTHS * MONTH_MS

    @property
    def batch_size(self) -> int:
        """Decisions of one batch."""
        return max(1, min(LARGEST_BATCH, self.n // 40))

    @property
    def n_batches(self) -> int:
        """How many batches there are."""
        return -(-self.n // self.batch_size)

    def size_of(self, batch: int) -> int:
        """Return how many decisions a batch has."""
        return min(self.batch_size, self.n - batch * self.batch_size)

    def span_of(self, batch: int) -> tuple[int, int]:
        """Return when a batch is submitted and when its last decision is made at the latest."""
        whole = self.until_ms - LABEL_DELAY_MS - 60_000 - self.start_ms
        return (
            self.start_ms + whole * batch // self.n_batches,
            self.start_ms + whole * (batch + 1) // self.n_batches,
        )

    def tasks(
        self, batch: int, batch_id: str, calibrations: Mapping[tuple[str, str, int], str], rng: random.Random
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield the kind and the names of each decided task of a batch, in the order of time."""
        tenant, size, (start, end) = tenant_of(batch), self.size_of(batch), self.span_of(batch)
        work = max(1, end - start - WORK_MS - size)
        domains: Sequence[int] = rng.choices(range(len(DOMAINS)), k=size)
        for i, domain in enumerate(domains):
            created = start + i
            decided = start + WORK_MS + size + work * i // size
            month = min(N_MONTHS - 1, (decided - self.start_ms) // MONTH_MS)
            number = 10 * rng.randrange(100_000, 1_000_000)
            kind = KIND_OF_DOMAIN[domain]
            merged = kind != "diagnosis"
            yield (
                kind,
                {
                    "batch": batch_id,
                    "tenant": tenant,
                    "domain": DOMAINS[domain],
                    "custom": f"b{batch}-{i}",
                    "task": uuid7(created, rng),
                    "decision": uuid7(decided, rng),
                    "calibration": calibrations[tenant, DOMAINS[domain], month]
                    if merged
                    else FIRST_CALIBRATION,
                    "created": at(created),
                    "decided": at(decided),
                    "labelled": at(decided + LABEL_DELAY_MS),
                    "label": uuid7(decided + LABEL_DELAY_MS, rng),
                    "model-0": MODELS[month * len(MODELS) // N_MONTHS],
                    "model-1": SECOND_MODEL,
                    **{f"n{j}": str(number + j + 1) for j in range(4)},
                },
            )
