"""Random walks over addresses and interfaces: after every step, one address has one owner.

Each seed is one walk of two accounts in a small pool, so that everything runs out again and
again. A failure names its seed and the steps that led there.
"""

import random
import threading

import pytest

from controller.kernel.middleware import Middleware
from controller.network.interfaces import rules as interfaces
from controller.tables.compute import Instance
from controller.tables.network import NetworkInterface, PublicAddress
from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import CloudError, Kind
from protos.rpc import CallContext, Caller
from tests.unit.controller.group_calls import create, describe, rule, selector
from tests.unit.controller.resource_world import ANN, BOB, World

STEPS = 150
EXPECTED = {
    Kind.QUOTA,
    Kind.NO_CAPACITY,
    Kind.NOT_FOUND,
    Kind.WRONG_STATE,
    Kind.EXISTS,
    Kind.INVALID,
}


class Walk:
    def __init__(self, folder, seed):
        self.world = World(folder, public_pool="100.64.0.0/28", seed=seed)
        self.dice = random.Random(seed)
        self.instances = {ANN: [], BOB: []}
        self.allocations = {ANN: [], BOB: []}
        self.steps = []

    def step(self):
        acts = {
            self.launch: 3,
            self.stop: 1,
            self.start: 1,
            self.terminate: 1,
            self.allocate: 3,
            self.release: 1,
            self.associate: 4,
            self.disassociate: 1,
        }
        (act,) = self.dice.choices(list(acts), list(acts.values()))
        account_id = self.dice.choice([ANN, BOB])
        self.steps.append((act.__name__, account_id))
        try:
            act(account_id)
        except CloudError as refusal:
            assert refusal.kind in EXPECTED, refusal
            self.steps[-1] += (refusal.kind.name,)
        self.check()

    def launch(self, account_id):
        public = self.dice.choice([None, None, False])
        made = self.world.launch(self.dice.randint(1, 3), account_id, public=public)
        self.instances[account_id] += [one.instance_id for one in made]

    def stop(self, account_id):
        self._live(account_id, "stopped", lambda tx, i: interfaces.give_back_lent(tx, [i]))

    def start(self, account_id):
        self._live(account_id, "running", lambda tx, i: interfaces.lend_again(tx, account_id, [i]))

    def terminate(self, account_id):
        gone = self._live(
            account_id, "terminated", lambda tx, i: interfaces.release_interfaces(tx, [i])
        )
        if gone:
            self.instances[account_id].remove(gone)

    def _live(self, account_id, desired, act):
        if not self.instances[account_id]:
            return ""
        instance_id = self.dice.choice(self.instances[account_id])
        with self.world.db.write(self.world.call(account_id)) as tx:
            tx.advance(Instance, {"desired": desired}, Instance.instance_id == instance_id)
            act(tx, instance_id)
        return instance_id

    def allocate(self, account_id):
        made = self.world.addresses.Allocate(
            pb.AllocateAddressRequest(), self.world.call(account_id)
        )
        self.allocations[account_id].append(made.allocation_id)

    def release(self, account_id):
        request = pb.ReleaseAddressRequest(allocation_id=self._allocation(account_id))
        self.world.addresses.Release(request, self.world.call(account_id))

    def _allocation(self, account_id):
        """One of the newest, which may still be there."""
        return self.dice.choice(self.allocations[account_id][-4:] or ["eipalloc-01234567"])

    def associate(self, account_id):
        target = self.dice.choice([ANN, BOB]) if self.dice.random() < 0.1 else account_id
        request = pb.AssociateAddressRequest(
            allocation_id=self._allocation(account_id),
            instance_id=self.dice.choice(self.instances[target] or ["i-01234567"]),
        )
        if self.dice.random() < 0.3:
            request.allow_reassociation = False
        self.world.addresses.Associate(request, self.world.call(account_id))

    def disassociate(self, account_id):
        mine = self.world.addresses.Describe(
            pb.DescribeAddressesRequest(), self.world.call(account_id)
        ).addresses
        on = [address.association_id for address in mine if address.association_id]
        if on:
            request = pb.DisassociateAddressRequest(association_id=self.dice.choice(on))
            self.world.addresses.Disassociate(request, self.world.call(account_id))

    def check(self):
        with self.world.db.read() as session:
            pool = {row.public_ip: row for row in session.rows(PublicAddress.select())}
            nics = session.rows(NetworkInterface.select())
        assert len(pool) == 13
        carried = {nic.public_ip: nic for nic in nics if nic.public_ip}
        assert len(carried) == sum(1 for nic in nics if nic.public_ip)
        for address, nic in carried.items():
            assert pool[address].account_id == nic.account_id
            assert bool(pool[address].allocation_id) == bool(nic.association_id)
        for address, row in pool.items():
            is_lent = row.account_id is not None and row.allocation_id is None
            assert not is_lent or address in carried, f"{address} is lent to nobody"
            assert row.account_id is not None or row.allocation_id is None
        for account_id in (ANN, BOB):
            held = [r for r in pool.values() if r.account_id == account_id and r.allocation_id]
            assert self.world.used("addresses", account_id) == len(held)


@pytest.mark.parametrize("number", range(8))
def test_one_address_has_one_owner_after_every_step(tmp_path, number):
    walk = Walk(tmp_path, number)
    try:
        for _ in range(STEPS):
            walk.step()
    except AssertionError as broken:
        raise AssertionError(f"seed {number}: {walk.steps}") from broken


def test_the_walks_go_everywhere(tmp_path):
    """Each step succeeds and is refused somewhere, so that the walks prove something."""
    outcomes = set()
    for seed in range(4):
        (tmp_path / str(seed)).mkdir()
        walk = Walk(tmp_path / str(seed), seed)
        for _ in range(STEPS):
            walk.step()
        outcomes |= {(name, *rest) for name, _, *rest in walk.steps}
    for name in ("launch", "start", "terminate", "allocate", "release", "associate"):
        assert (name,) in outcomes
    assert {
        ("launch", "NO_CAPACITY"),
        ("associate", "EXISTS"),
        ("release", "WRONG_STATE"),
    } <= outcomes


def test_of_six_callers_at_once_one_adds_the_rule(tmp_path):
    world = World(tmp_path, threads=True)
    group, ready, outcomes = create(world), threading.Barrier(6), []
    service = Middleware(world.groups, lambda: world.now_ms)

    def ask():
        ready.wait()
        request = pb.AuthorizeRequest(group=selector(group), rules=[rule()])
        try:
            service.AuthorizeIngress(request, CallContext("gateway", Caller(account_id=ANN)))
            outcomes.append("added")
        except CloudError as refusal:
            outcomes.append(refusal.kind)
        finally:
            world.db.close()

    callers = [threading.Thread(target=ask) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert sorted(map(str, outcomes)) == sorted(["added", *[str(Kind.EXISTS)] * 5])
    assert len(describe(world, group_ids=[group.group_id])[0].rules) == 2
