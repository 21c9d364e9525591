"""OneSignal's own client takes what is emitted into its checked models, and writes it unchanged."""

import onesignal
import pytest
from onesignal.model.filter import Filter
from onesignal.model.include_aliases import IncludeAliases
from onesignal.model.notification import Notification
from onesignal.model.operator import Operator

from audience import parse, plan, vendor

SUBSCRIPTION = "1dd608f2-c6a1-11e3-851d-000c2940e62c"
EXPRS = [
    "vip",
    "NOT vip",
    "politics OR breaking",
    "(a OR b) AND level:10 AND NOT city:Rome",
    "country:US AND language:en AND version:1.0.2",
    "NOT (a AND b) OR (c AND NOT d)",
]


def written(target: dict) -> dict:
    """What the client would send of *target*, through its own models."""
    models = dict(target)
    if "filters" in target:
        entries = target["filters"]
        models["filters"] = [Operator(**entry) if "operator" in entry else Filter(**entry) for entry in entries]
    if "include_aliases" in target:
        models["include_aliases"] = IncludeAliases(**target["include_aliases"])
    sent = onesignal.ApiClient.sanitize_for_serialization(Notification(app_id="app", **models))
    return {key: value for key, value in sent.items() if key in target}


@pytest.mark.parametrize("text", ["everyone", *EXPRS, "alias(u1, u2)", f"registration_id({SUBSCRIPTION})"])
def test_its_models_take_the_target_and_write_it_unchanged(text):
    [said] = plan(text, "onesignal").native
    assert written(said) == said
    assert vendor("onesignal").parse(written(said)) == vendor("onesignal").parse(said)


def test_a_list_of_ids_is_taken_unchanged():
    said = vendor("onesignal").listing([f"id{number}" for number in range(vendor("onesignal").batch)])
    assert written(said) == said


@pytest.mark.parametrize("change", [{"relation": "has"}, {"value": 10}, {"key": None}])
def test_its_models_do_check(change):
    [entry] = vendor("onesignal").emit(parse("city:Rome"))["filters"]
    with pytest.raises(onesignal.OpenApiException):
        Filter(**(entry | change))
