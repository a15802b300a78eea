"""How invariants about tenants' networks and interfaces fail: ways to break a quiesced cloud
(test_invariants).
"""

from hostagent.compute.drivers import Power
from hostagent.compute.hypervisors.fake_guests import Guest
from tests.harness.invariants import networks
from tests.harness.populated import PopulatedCloud


def _overlap(c: PopulatedCloud) -> None:
    c.sql("UPDATE subnet SET cidr_block = '10.0.1.0/24' WHERE vpc_id = ?", c.own_vpc)


def _leave_vpc(c: PopulatedCloud) -> None:
    c.sql("UPDATE vpc SET cidr_block = '10.9.0.0/16' WHERE vpc_id = ?", c.own_vpc)


def _lose_main_table(c: PopulatedCloud) -> None:
    c.sql("DELETE FROM route_table_association WHERE main")


def _attach_twice(c: PopulatedCloud) -> None:
    c.sql("UPDATE internet_gateway SET vpc_id = ?", c.own_vpc)


def _give_away(c: PopulatedCloud) -> None:
    c.sql("UPDATE vpc SET account_id = ?", c.cloud.customers[1].account_id)


def _join_other_vpc(c: PopulatedCloud) -> None:
    c.sql("UPDATE network_interface SET vpc_id = ?", c.own_vpc)


def _plug_twice(c: PopulatedCloud) -> None:
    c.elsewhere.state.guests[c.stopped] = Guest(Power.RUNNING.value, nics=[c.nic])


def _share_secondary(c: PopulatedCloud) -> None:
    """Two guests run, each with an interface of its own."""
    (other,) = (
        row["network_interface_id"]
        for row in c.cloud.records.table("held_interface")
        if row["instance_id"] == c.stopped
    )
    c.elsewhere.state.guests[c.stopped] = Guest(Power.RUNNING.value, nics=[other])
    c.sql("UPDATE network_interface SET private_ip = (SELECT private_ip FROM secondary_address)")


def _unplug(c: PopulatedCloud) -> None:
    c.guest.nics.remove(c.nic)


def _plug_unasked(c: PopulatedCloud) -> None:
    c.guest.nics.append("eni-1")


def _detach_for_ever(c: PopulatedCloud) -> None:
    c.sql("UPDATE attachment SET detaching = 1 WHERE device_id = ?", c.nic)


def _lead_nowhere(c: PopulatedCloud) -> None:
    c.sql("UPDATE internet_gateway SET vpc_id = NULL")


def _associate_unsaid(c: PopulatedCloud) -> None:
    c.sql("DELETE FROM route_table_association WHERE subnet_id IS NOT NULL")


def _silence(c: PopulatedCloud) -> None:
    c.sql("UPDATE vpc SET enable_dns_support = 0")


CASES = (
    (networks.ranges_are_apart, _overlap),
    (networks.ranges_are_apart, _leave_vpc),
    (networks.ranges_are_apart, _lose_main_table),
    (networks.ranges_are_apart, _attach_twice),
    (networks.ranges_are_apart, _give_away),
    (networks.what_is_joined_is_of_one_vpc, _join_other_vpc),
    (networks.an_interface_is_in_one_guest, _plug_twice),
    (networks.an_interface_is_in_one_guest, _share_secondary),
    (networks.guests_have_their_interfaces, _unplug),
    (networks.guests_have_their_interfaces, _plug_unasked),
    (networks.interfaces_converge, _detach_for_ever),
    (networks.hosts_routes_are_as_decided, _lead_nowhere),
    (networks.hosts_routes_are_as_decided, _associate_unsaid),
    (networks.hosts_routes_are_as_decided, _silence),
)
