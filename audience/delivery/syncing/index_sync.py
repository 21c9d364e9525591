"""Sync of the tags of an index to a vendor, by the names of a catalog."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from audience.delivery.applications import identify_application
from audience.delivery.syncing.plan import SyncPlan
from audience.delivery.syncing.reading import VendorReader
from audience.delivery.syncing.status import SyncStatus
from audience.delivery.syncing.sync import SyncCommand, SyncTarget, plan_sync, run_sync
from audience.delivery.syncing.worker import SyncOptions
from audience.delivery.transport.http import require_usable_environment
from audience.errors import DeliveryError, Problem
from audience.index.device_index import DeviceIndex
from audience.index.storage.snapshot import Snapshot
from audience.language.ast import Tag
from audience.language.attribute_names import UNTYPED
from audience.planning.catalog.catalog import Catalog
from audience.planning.catalog.declared import is_declared
from audience.planning.tag_names import find_synced_tag, resolve_tag_names
from audience.tag_sync.desired import read_desired_tags
from audience.tag_sync.limits import find_limit_problems
from audience.tag_sync.state import Application, TagState
from audience.tag_sync.storage import list_states
from audience.tag_sync.tags import NamedScope, TagNames
from audience.vendors import get_vendor, require_delivery, vendor_names
from audience.vendors.delivery_spec import Credentials
from audience.vendors.spec import Vendor
from audience.vendors.tag_spec import TagSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncChoices:
    """Scope of a sync, and its trust in the last one.

    Attributes:
        attributes: Attributes and bare tags; None for all attributes of the index that the catalog names at the vendor.
        key_type: Kind of ids to which tags are bound; None for the vendor's default.
        full: Set every tag again, and remove all others that were ever synced.
        from_vendor: Read the tags that the vendor has, instead of trusting what was synced last.
        retry_unknown: Try ids again that the vendor did not know.
        remove_obsolete: Remove tags of earlier syncs that the catalog and the index name no more.
    """

    attributes: Iterable[str] | str | None = None
    key_type: str | None = None
    full: bool = False
    from_vendor: bool = False
    retry_unknown: bool = False
    remove_obsolete: bool = False


EVERYTHING_NAMED = SyncChoices()


def sync_tags(
    index: DeviceIndex,
    vendor: Vendor,
    catalog: Catalog | None,
    credentials: Credentials,
    choices: SyncChoices = EVERYTHING_NAMED,
    options: SyncOptions | None = None,
    *,
    request: Mapping[str, object] | None = None,
    on_plan: Callable[[SyncPlan], None] = lambda plan: None,
    on_wait: Callable[[float], None] = lambda seconds: None,
) -> SyncStatus:
    """Make the tags at an application of *vendor* those of the snapshot of *index*, and return how far that is.

    Only the difference to the last sync is sent. A sync that was interrupted goes on.

    Args:
        index: The index.
        vendor: The vendor.
        catalog: Catalog with the names of tags at the vendor.
        credentials: Credentials of the application.
        choices: What is synced, and what is trusted of the last sync.
        options: Retries, concurrency and callbacks.
        request: Options that `audience resume` needs to sync again, as JSON values.
        on_plan: Called with the plan before the first call.
        on_wait: Called with the seconds that are waited for calls of an earlier sync.

    Raises:
        PlanError: The index or the catalog does not have what is to be synced.
        DeliveryError: The vendor takes no tags, a limit of it would be exceeded, or another index has synced since. No
            call was made.
        LockedError: Another process syncs the application, or changes the index.
    """
    require_usable_environment(credentials.base_url)
    options = options or SyncOptions()
    command = build_command(index, vendor, catalog, credentials, choices, options)
    return run_sync(replace(command, request=request or {}), options, on_plan, on_wait)


def plan_tags(
    index: DeviceIndex,
    vendor: Vendor,
    catalog: Catalog | None,
    credentials: Credentials,
    choices: SyncChoices = EVERYTHING_NAMED,
    options: SyncOptions | None = None,
) -> SyncPlan:
    """Return what `sync_tags` would do. Nothing is written; the vendor is called only to read, with `from_vendor`."""
    options = options or SyncOptions()
    return plan_sync(build_command(index, vendor, catalog, credentials, choices, options), options)


def build_command(
    index: DeviceIndex,
    vendor: Vendor,
    catalog: Catalog | None,
    credentials: Credentials,
    choices: SyncChoices,
    options: SyncOptions,
) -> SyncCommand:
    """Return the command of a sync: what the index and the catalog say that the vendor is to have."""
    spec, snapshot = require_tags(vendor), index.snapshot
    key_type = _read_key_type(spec, choices.key_type, vendor)
    application = identify_application(spec.family, require_delivery(vendor), credentials, key_type)
    synced = _list_synced(snapshot, application)
    names = resolve_tag_names(
        choices.attributes,
        vendor,
        catalog,
        snapshot,
        synced,
        may_be_empty=choices.remove_obsolete and catalog is not None,
    )
    desired = read_desired_tags(snapshot, names.names, vendor, key_type)
    find_tag = partial(find_synced_tag, names=names, vendor=vendor, catalog=catalog, snapshot=snapshot)
    is_current = partial(_is_current, names=names, vendor=vendor, catalog=catalog)
    command = SyncCommand(
        storage=snapshot.storage,
        vendor=vendor,
        application=application,
        credentials=credentials,
        target=SyncTarget(
            attributes=names.attributes,
            desired=desired,
            left_out=names.left_out,
            find_tag=find_tag,
            is_current=is_current,
        ),
        full=choices.full,
        retry_unknown=choices.retry_unknown,
        remove_obsolete=choices.remove_obsolete,
        find_limits=partial(_find_limits, spec),
    )
    if not choices.from_vendor:
        return command
    return replace(command, read=_make_reader(command, names, options).read)


def require_tags(vendor: Vendor) -> TagSpec:
    """Return how *vendor* takes tags. Raises DeliveryError if it takes none from a server."""
    if vendor.tags is None:
        names = ", ".join(name for name in vendor_names() if get_vendor(name).tags is not None)
        message = f"tags cannot be synced to {vendor.name}"
        raise DeliveryError(Problem("no-tags", message, hint=f"vendors whose tags can be synced: {names}"))
    return vendor.tags


def _read_key_type(spec: TagSpec, key_type: str | None, vendor: Vendor) -> str:
    if key_type is not None and key_type not in spec.key_types:
        *others, last = spec.key_types
        kinds = f"{', '.join(others)} or {last}" if others else last
        message = f"{vendor.name} binds tags to {kinds}, not to {key_type!r}"
        raise DeliveryError(Problem("bad-option", message, hint=f"write --key-type {spec.key_types[0]}"))
    return key_type or spec.key_types[0]


def _list_synced(snapshot: Snapshot, application: Application) -> dict[str, NamedScope]:
    """Return what was ever synced to the application, by name."""
    for facts in list_states(snapshot.storage):
        if (facts.application.family, facts.application.digest) == (application.family, application.digest):
            ended = {name: sync.named for name, sync in facts.attributes.items()}
            return {**ended, **({} if facts.started is None else facts.started.attributes)}
    return {}


def _is_current(tag: Tag, names: TagNames, vendor: Vendor, catalog: Catalog | None) -> bool:
    """Return whether a sync without `--attributes` is about *tag*, or the catalog declares it as a bare tag.

    Without a catalog nothing is known to have left it.
    """
    if catalog is None or tag in names.scope or tag in names.others:
        return True
    return tag.type == UNTYPED and is_declared(tag, catalog, vendor)


def _find_limits(spec: TagSpec, state: TagState) -> list[Problem]:
    return [*find_limit_problems(state, spec)]


def _make_reader(command: SyncCommand, names: TagNames, options: SyncOptions) -> VendorReader:
    """Return the reader of the vendor's tags. Raises DeliveryError if no page documents how they are read."""
    vendor, reading = command.vendor, command.spec.reading
    if reading is None:
        message = f"no page documents how the tags of devices are read at {vendor.name}"
        raise DeliveryError(Problem("no-reading", message, hint="leave --from-vendor out; --full sets every tag again"))
    return VendorReader(
        vendor=vendor,
        reading=reading,
        credentials=command.credentials,
        wanted=command.target.desired.tags,
        scope=names.scope,
        find_tag=command.target.find_tag,
        options=options,
    )
