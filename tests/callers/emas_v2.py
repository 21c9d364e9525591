"""How tests call EMAS's sandbox by a task in JSON."""

import json

from vendor_calls import emas_call, emas_push_v2_call

from callers import Caller

CALLER = Caller(
    send=emas_push_v2_call,
    post=lambda task: emas_call("PushV2", PushTask=json.dumps(task)),
    sound_body={"Target": {"Type": "TAG", "Value": "a"}, "Message": {"Title": "t"}, "Options": {"JobKey": "j"}},
    keys={"app_key": "23267207"},
)
