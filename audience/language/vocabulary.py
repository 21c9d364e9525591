"""Values of the attributes that vendors keep by themselves: one spelling for each, however a vendor writes it.

A province is its name in pinyin as TPNS writes it, a country or a language its ISO code of two letters. Values that are
not known here are kept as they are.
"""

from collections.abc import Collection
from dataclasses import replace

from audience.language.ast import Expr, Tag, map_operands

# Chinese short name of each province by its name in pinyin, without sheng, shi or zizhiqu.
PROVINCES = {
    "anhui": "安徽",
    "aomen": "澳门",
    "beijing": "北京",
    "chongqing": "重庆",
    "fujian": "福建",
    "gansu": "甘肃",
    "guangdong": "广东",
    "guangxi": "广西",
    "guizhou": "贵州",
    "hainan": "海南",
    "hebei": "河北",
    "heilongjiang": "黑龙江",
    "henan": "河南",
    "hubei": "湖北",
    "hunan": "湖南",
    "jiangsu": "江苏",
    "jiangxi": "江西",
    "jilin": "吉林",
    "liaoning": "辽宁",
    "neimenggu": "内蒙古",
    "ningxia": "宁夏",
    "qinghai": "青海",
    "shaanxi": "陕西",
    "shandong": "山东",
    "shanghai": "上海",
    "shanxi": "山西",
    "sichuan": "四川",
    "taiwan": "台湾",
    "tianjin": "天津",
    "xianggang": "香港",
    "xinjiang": "新疆",
    "xizang": "西藏",
    "yunnan": "云南",
    "zhejiang": "浙江",
}
_PINYIN = {chinese: pinyin for pinyin, chinese in PROVINCES.items()}
CODE_LENGTH = 2  # letters of an ISO code of a country or a language


def canonical_value(type_: str, value: str) -> str:
    """Return the spelling of *value* that all vendors share, of an attribute that a vendor keeps by itself.

    >>> canonical_value("province", "北京"), canonical_value("country", "cn"), canonical_value("language", "ZH")
    ('beijing', 'CN', 'zh')
    >>> canonical_value("province", "California"), canonical_value("brand", "HUAWEI")
    ('California', 'HUAWEI')
    """
    is_code = len(value) == CODE_LENGTH and value.isascii() and value.isalpha()
    match type_:
        case "province":
            return _PINYIN.get(value) or (value.lower() if value.lower() in PROVINCES else value)
        case "country" if is_code:
            return value.upper()
        case "language" if is_code:
            return value.lower()
    return value


def canonicalize_values(expr: Expr, excluded_types: Collection[str] = ()) -> Expr:
    """Return *expr* with the shared spelling of every value, except of *excluded_types*.

    >>> from audience.language.printer import render
    >>> render(canonicalize_values(Tag("province", "北京") & ~Tag("country", "cn"), ["country"]))
    'province:beijing AND NOT country:cn'
    """
    return map_operands(
        expr,
        lambda atom: (
            replace(atom, value=canonical_value(atom.type, atom.value))
            if isinstance(atom, Tag) and atom.type not in excluded_types
            else atom
        ),
    )
