"""Limits of TPNS, with the pages that document them."""

from audience.language.vocabulary import PROVINCES
from audience.vendors.spec import VendorLimit
from audience.vendors.value_names import ValueNames

PAGE = "https://www.tencentcloud.com/document/product/1024/33764"
TAGS_DOCS = "https://www.tencentcloud.com/document/product/1024/38519"
ACCOUNTS_DOCS = "https://www.tencentcloud.com/document/product/1024/38830"
PACKAGES_DOCS = "https://www.tencentcloud.com/document/product/1024/38862"

LIMITS = {
    "token_list": VendorLimit(1_000, PAGE),
    "account_list": VendorLimit(1_000, PAGE),
    "account_package_bytes": VendorLimit(100_000_000, ACCOUNTS_DOCS),
    "account_package_characters": VendorLimit(100, ACCOUNTS_DOCS),
    "token_characters": VendorLimit(36, PAGE),
    "tag_list_characters": VendorLimit(512, PAGE),
    "tag_bytes": VendorLimit(50, TAGS_DOCS),
    "rules": VendorLimit(None, PAGE),
}
MIN_ACCOUNT_CHARS = 2  # of an account in a package
LAST_SPACE_CODE_POINT = 0x3000  # no later code point is white space
SPACES = "".join(char for char in map(chr, range(LAST_SPACE_CODE_POINT + 1)) if char.isspace())
TOKEN_WHITESPACE = f"{SPACES}\ufeff"  # never in a token

# The pages name provinces in pinyin, and leave open how they distinguish Shaanxi from Shanxi.
PROVINCE_PATTERN = "|".join(sorted(PROVINCES.keys() - {"shaanxi", "shanxi"}))
VALUE_NAMES = {
    "province": ValueNames(pattern=PROVINCE_PATTERN),
    "country": ValueNames(pattern="[A-Z]{2}"),
    "language": ValueNames(pattern="[a-z]{2}"),
}
