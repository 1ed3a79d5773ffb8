from __future__ import annotations

import json

import pytest

from benchmarks.soak.rubbish import message, rubbish
from worker.envelopes import check_call, trimmed
from worker.errors import MessageError


def test_what_ours_look_like_passes_and_keeps_what_celery_needs() -> None:
    fit = trimmed(json.loads(message("decide")))
    assert set(fit["headers"]) == {"task", "id"}
    assert fit["properties"]["delivery_info"] == {"exchange": "", "routing_key": "decide"}
    check_call([[{"v": 1}], {}, {"callbacks": None, "chain": None}])


def test_a_time_of_expiry_is_left_out_since_clocks_differ() -> None:
    headers = {"task": "reconcile", "id": "1", "expires": "1999-01-01T00:00:00"}
    assert "expires" not in trimmed(json.loads(message("reconcile", headers=headers)))["headers"]


@pytest.mark.parametrize("fault", ["task is a list", "timelimit is a number", "no id", "empty delivery_info"])
def test_what_ends_celery_is_refused(fault: str) -> None:
    with pytest.raises(MessageError):
        trimmed(json.loads(rubbish("decide")[fault]))


@pytest.mark.parametrize("payload", [None, [], {}, [[], {}], [{}, [], {}], [[], {}, {"chain": ["x"]}]])
def test_what_is_no_call_is_refused(payload: object) -> None:
    with pytest.raises(MessageError):
        check_call(payload)
