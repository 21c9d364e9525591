"""OneSignal's own client takes what is emitted into its checked models, and writes it unchanged."""

import pytest

from audience import get_vendor, parse, plan

onesignal = pytest.importorskip("onesignal")
Filter = pytest.importorskip("onesignal.model.filter").Filter
IncludeAliases = pytest.importorskip("onesignal.model.include_aliases").IncludeAliases
Notification = pytest.importorskip("onesignal.model.notification").Notification
Operator = pytest.importorskip("onesignal.model.operator").Operator

SUBSCRIPTION_ID = "1dd608f2-c6a1-11e3-851d-000c2940e62c"
EXPRS = [
    "vip",
    "NOT vip",
    "politics OR breaking",
    "(a OR b) AND level:10 AND NOT city:Rome",
    "country:US AND language:en AND version:1.0.2",
    "NOT (a AND b) OR (c AND NOT d)",
]


def serialize_target(target: dict) -> dict:
    """What the client would send of *target*, through its own models."""
    models = dict(target)
    if "filters" in target:
        entries = target["filters"]
        models["filters"] = [Operator(**entry) if "operator" in entry else Filter(**entry) for entry in entries]
    if "include_aliases" in target:
        models["include_aliases"] = IncludeAliases(**target["include_aliases"])
    sent = onesignal.ApiClient.sanitize_for_serialization(Notification(app_id="app", **models))
    return {key: value for key, value in sent.items() if key in target}


@pytest.mark.parametrize("text", ["everyone", *EXPRS, "alias(u1, u2)", f"registration_id({SUBSCRIPTION_ID})"])
def test_client_models_keep_target_unchanged(text):
    [said] = plan(text, "onesignal").native
    assert serialize_target(said) == said
    assert get_vendor("onesignal").parse(serialize_target(said)) == get_vendor("onesignal").parse(said)


def test_client_models_keep_id_list_unchanged():
    said = get_vendor("onesignal").target_ids([f"id{number}" for number in range(get_vendor("onesignal").max_ids)])
    assert serialize_target(said) == said


@pytest.mark.parametrize("change", [{"relation": "has"}, {"value": 10}, {"key": None}])
def test_client_models_reject_invalid_filters(change):
    [entry] = get_vendor("onesignal").emit(parse("city:Rome"))["filters"]
    with pytest.raises(onesignal.OpenApiException):
        Filter(**(entry | change))
