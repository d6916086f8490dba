"""Files of earlier versions are read with today's names."""

import json

from common.former_names import FORMER, loads, renamed


def test_keys_and_rules_have_todays_names_however_deep() -> None:
    old = {
        "metrics": {"goodput_share": {"value": 1.0}, "offered_rate": {"value": 0.1}},
        "rules": [{"rule": "send_lag_p99", "text": "send_lag_p99"}, {"rule": "offered_rate"}],
        "client_error": {"send_lag_p99": 0.001},
        "lanes": [{"lane": 0}],
    }
    assert renamed(old) == {
        "metrics": {"slo_attainment": {"value": 1.0}, "offered_rate": {"value": 0.1}},
        "rules": [{"rule": "dispatch_delay_p99", "text": "send_lag_p99"}, {"rule": "unsent_share"}],
        "client_error": {"dispatch_delay_p99": 0.001},
        "lanes": [{"lane": 0}],
    }
    assert renamed(renamed(old)) == renamed(old) and not set(FORMER) & set(FORMER.values())
    assert loads(json.dumps(old).encode()) == renamed(old)
    assert all(loads(json.dumps({name: 1}).encode()) == {FORMER[name]: 1} for name in FORMER)
