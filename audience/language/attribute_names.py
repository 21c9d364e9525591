"""Attribute names: the type of untyped tags, and Tencent TPNS's names such as `xg_auto_province`.

Users copy TPNS's names from its documentation, so the language accepts them:
https://www.tencentcloud.com/document/product/1024/33764, read 2026-11-21.
"""

UNTYPED = "tag"  # type of a tag that is written without a type

TPNS_TYPES = {
    "xg_user_define": UNTYPED,
    "xg_auto_version": "version",
    "xg_auto_province": "province",
    "xg_auto_active": "active",
    "xg_auto_sdkversion": "sdk_version",
    "xg_auto_systemlanguage": "language",
    "xg_auto_devicebrand": "brand",
    "xg_auto_deviceversion": "model",
    "xg_auto_country": "country",
    "xg_auto_systemversion": "os_version",
}


def canonical_type(type_name: str) -> str:
    """Return the attribute that *type_name* names. TPNS's ten names are translated, all others are kept.

    >>> canonical_type("xg_auto_devicebrand"), canonical_type("city")
    ('brand', 'city')
    """
    return TPNS_TYPES.get(type_name, type_name)
