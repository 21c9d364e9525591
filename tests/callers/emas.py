"""How tests call EMAS's sandbox, by parameters; version 2 has a caller of its own."""

import json
from urllib.parse import parse_qsl

from vendor_calls import emas_push_call, emas_push_v2_call

from callers import Caller


def post_parameters(request):
    words = {key: value if isinstance(value, str) else json.dumps(value) for key, value in request.items()}
    return emas_push_call(**words)


def read_tags(request):
    """Yield the changes in a call for tags."""
    query = dict(request.query) or dict(parse_qsl(request.content.decode(), strict_parsing=True))
    direction = {"BindTag": "add", "UnbindTag": "remove"}[request.headers["x-acs-action"]]
    for identifier in query["ClientKey"].split(","):
        yield from ((direction, identifier, tag) for tag in query["TagName"].split(","))


CALLER = Caller(
    send=lambda payload: emas_push_call(**payload),
    post=post_parameters,
    frames={
        "tags": lambda text: emas_push_call(Target="TAG", TargetValue=text),
        "push": lambda text: emas_push_call(**json.loads(text)),
        "task": lambda text: emas_push_v2_call(json.loads(text)),
    },
    unknown_tagged=("Accepted", "Accepted"),
    keys={"app_key": "23267207"},  # a number there, and not the key that signs
    read_tags=read_tags,
)
