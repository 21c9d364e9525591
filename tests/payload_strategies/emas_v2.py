"""Random payloads of PushV2 of EMAS: those of Push, written otherwise."""

from payload_strategies import emas as push


def to_push_v2(request: dict[str, str]) -> dict[str, dict[str, str]]:
    """Write a target of Push as one of PushV2, where ALL needs no value and a platform is optional."""
    kind, value, platform = request["Target"], request["TargetValue"], request.get("DeviceType")
    target = {"Type": kind} if kind == "ALL" else {"Type": kind, "Value": value}
    return {"Target": target if platform in (None, "ALL", "HARMONY") else {**target, "Platform": platform.upper()}}


PAYLOADS = push.PAYLOADS.map(to_push_v2)
