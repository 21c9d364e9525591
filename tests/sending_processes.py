"""Senders that tests start in processes of their own, to kill them."""

from dataclasses import replace

from audience import DeviceIndex, get_vendor
from audience.delivery import RetryPolicy, SafetyLimits, SendOptions, campaign_runs, resume, send
from audience.delivery.syncing import late_calls
from audience.delivery.syncing.index_sync import sync_tags
from audience.delivery.syncing.worker import SyncOptions
from audience.delivery.transport.rate_limit import RateLimiter
from audience.errors import DeliveryError
from audience.messages import Message
from audience.planning.catalog.check import validate_catalog
from audience.planning.catalog.loader import parse_catalog
from audience.testing.fake_vendor import (
    CREDENTIALS,
    MESSAGE,
    QUICK_RETRY,
    UNLIMITED,
    make_delivery,
    make_idempotent_method,
    make_method,
    register_fake_vendors,
)
from audience.testing.registration import register_vendors
from audience.vendors.delivery_spec import Credentials


def send_in_process(connection, folder, url, method_kind, command):
    """Send or resume, and send the numbers of pending batches and of those in doubt to *connection*."""
    register_fake_vendors(make_delivery(make_method() if method_kind == "once" else make_idempotent_method()))
    credentials = Credentials(url, CREDENTIALS.keys)
    retry = RetryPolicy(max_attempts=20, initial_delay=0.01, max_delay=0.1, timeout=10, max_lost=1_000)
    options = SendOptions(retry=retry, concurrency=8)
    if command == "send":
        status = send(folder, MESSAGE, credentials, UNLIMITED, options=options)
    else:
        status = resume(folder, credentials, options=options)
    connection.send((status.pending, status.batch_counts["in_doubt"]))


def send_campaign_in_process(connection, folder, url, title, names):
    """Prepare a campaign, send it when *connection* gets a signal, and send the result to *connection*."""
    register_fake_vendors(names=names)
    credentials = Credentials(url, CREDENTIALS.keys)
    ready = campaign_runs.prepare_all(folder, Message(title=title), lambda vendor: credentials, UNLIMITED)
    connection.send("ready")
    connection.recv()
    try:
        campaign_runs.send_all(folder, Message(title=title), ready, SendOptions(QUICK_RETRY))
        connection.send("sent")
    except DeliveryError as error:
        connection.send(error.code)


def shrink_batches(vendor, way, size):
    """Return *vendor* with batches of *size* ids, or of one if it takes no more, and no method but *way*."""
    delivery = vendor.delivery
    methods = tuple(
        replace(each, max_ids=min(size, each.max_ids), min_ids=0) for each in delivery.send_methods if each.name == way
    )
    return replace(vendor, max_ids=size, delivery=replace(delivery, send_methods=methods))


def send_to_sandbox(connection, folder, name, way, size, credentials, command):
    """Send or resume by a method with small batches as fast as possible, and send how many batches are pending."""

    async def go(limiter, rate_limits):
        return None

    RateLimiter.wait = RateLimiter.wait_to_leave = go
    retry = RetryPolicy(initial_delay=0.01, max_delay=0.1, timeout=10, max_lost=1_000)
    options = SendOptions(retry=retry, concurrency=8)
    with register_vendors(shrink_batches(get_vendor(name), way, size)):
        if command == "send":
            limits = SafetyLimits(max_devices=10**9)
            status = send(folder, MESSAGE, credentials, limits, method=way, options=options)
        else:
            status = resume(folder, credentials, options=options)
    connection.send(status.pending)


def shrink_tag_calls(vendor, size):
    """Return *vendor* with calls for tags that take *size* ids."""
    forms = tuple(
        replace(form, max_ids=min(size, form.max_ids), max_pairs=form.max_pairs and min(size, form.max_pairs))
        for form in vendor.tags.forms
    )
    return replace(vendor, tags=replace(vendor.tags, forms=forms))


def sync_to_sandbox(connection, folder, name, catalog, credentials):
    """Sync with small calls as fast as possible, and send whether it has ended to *connection*."""

    async def go(limiter, rate_limits):
        return None

    RateLimiter.wait = RateLimiter.wait_to_leave = go
    retry = RetryPolicy(initial_delay=0.01, max_delay=0.1, timeout=0.5, max_lost=1_000)
    late_calls.LATE_MARGIN_SECONDS = 0.0
    with register_vendors(shrink_tag_calls(get_vendor(name), 3)):
        status = sync_tags(
            DeviceIndex.open(folder),
            get_vendor(name),
            validate_catalog(parse_catalog(catalog)),
            credentials,
            options=SyncOptions(retry, concurrency=8),
        )
    connection.send(status.is_complete)
