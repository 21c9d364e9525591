"""Tencent TPNS's own notation, `xg_auto_province.guangdong`, which people copy from its pages.

https://www.tencentcloud.com/document/product/1024/33764, read 2026-11-21.
"""

UNTYPED = "tag"  # the type of a tag that has no type of its own

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
    """The attribute that *word* names: TPNS's ten words are read, all others stand for themselves.

    >>> canonical_type("xg_auto_devicebrand"), canonical_type("city")
    ('brand', 'city')
    """
    return TPNS_TYPES.get(type_name, type_name)
