"""Names at Braze: pages, limits, keys of a request's target, and the filters that are no custom attributes.

type                         at Braze
color                        the custom attribute color
tag                          custom attributes that are true, each of the name of a tag
push_subscription_status     the filter of that name, as are email_subscription_status and last_used_app
attribute.version            the custom attribute version, whose name is taken
"""

from audience.vendors.spec import VendorLimit

PAGE = "https://www.braze.com/docs/api/objects_filters/connected_audience"
DATA_TYPES_DOCS = "https://www.braze.com/docs/user_guide/data/activation/custom_data/data_types"
SEND_DOCS = "https://www.braze.com/docs/api/endpoints/messaging/send_messages/post_send_messages"
LIMITS_DOCS = "https://www.braze.com/docs/api/api_limits"

MAX_USERS = 50
MAX_FILTERS = 100  # ours: Braze answers that an audience is too complex, and says no number
LIMITS = {
    "external_user_ids": VendorLimit(MAX_USERS, LIMITS_DOCS),
    "user_aliases": VendorLimit(MAX_USERS, LIMITS_DOCS),
    "filters": VendorLimit(None, PAGE),
    "value_characters": VendorLimit(255, DATA_TYPES_DOCS),
}
SUBSCRIPTION_KEYS = ("push_subscription_status", "email_subscription_status")
LAST_USED = "last_used_app"
FILTER_KEYS = ("custom_attribute", *SUBSCRIPTION_KEYS, LAST_USED)
BUILTIN_KEYS = {key: key for key in (*SUBSCRIPTION_KEYS, LAST_USED)}
SUBSCRIPTION_STATUSES = ("opted_in", "subscribed", "unsubscribed")
NAME_KEY = "custom_attribute_name"
SEGMENT, USER_ALIAS, ATTRIBUTE = "segment_id", "user_alias", "custom_attribute"  # kinds of references that are sent
