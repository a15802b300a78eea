"""The kinds of resources that hosts are told of and report on, each with what renders and observes
it. Registered by ``app``."""

from collections.abc import Iterable
from functools import partial

from controller.compute.instances import observe as instance_observer
from controller.compute.instances.spec import InstanceSpecs
from controller.config import Zone
from controller.hosts.feed import Feed
from controller.hosts.kinds import Kind
from controller.network import spec as vpc_spec
from controller.network.names import DnsNames
from controller.storage.snapshots import observe as snapshot_observer
from controller.storage.snapshots import spec as snapshot_spec
from controller.storage.volumes import observe as volume_observer
from controller.storage.volumes import spec as volume_spec
from controller.tables import nouns


def hosted_kinds(names: DnsNames, zones: Iterable[Zone], feed: Feed) -> list[Kind]:
    instances = InstanceSpecs(names, {zone.name: zone.id for zone in zones})
    return [
        Kind(
            nouns.INSTANCE,
            instances.render,
            instance_observer.word,
            partial(instance_observer.observe, feed),
            partial(instance_observer.catch_up, feed),
            instance_observer.PASSING,
            over=frozenset(["absent"]),
        ),
        Kind(
            nouns.VPC,
            vpc_spec.VpcSpecs(names).render,
            vpc_spec.word,
            vpc_spec.observe,
            lambda tx, stale: feed.catch_up(tx, nouns.VPC, stale),
            frozenset(vpc_spec.WORDS.values()),
            over=frozenset(vpc_spec.WORDS.values()),  # a VPC goes with its instances
        ),
        Kind(
            nouns.VOLUME,
            volume_spec.render,
            volume_observer.word,
            volume_observer.observe,
            partial(volume_observer.catch_up, feed),
            volume_observer.PASSING,
            over=frozenset(["gone"]),
        ),
        Kind(
            nouns.SNAPSHOT,
            snapshot_spec.render,
            snapshot_observer.word,
            partial(snapshot_observer.observe, feed),
            lambda tx, stale: feed.catch_up(tx, nouns.SNAPSHOT, stale),
            snapshot_observer.PASSING,
            over=frozenset(["done", "failed", "gone"]),
        ),
    ]
