"""How invariants about volumes, snapshots and what calls have made fail: ways to break a cloud at
rest (test_invariants).
"""

from dataclasses import replace

from hostagent.compute.drivers import Power
from hostagent.compute.hypervisors.fake_guests import Guest
from tests.harness.contents import BLOCK, block_of
from tests.harness.invariants import holdings, promises, storage
from tests.harness.populated import PopulatedCloud

ELSEWHERE = 9 * BLOCK  # where no guest writes


def _open_twice(c: PopulatedCloud) -> None:
    disk = replace(c.guest.disks[c.disk])
    other = Guest(Power.RUNNING.value, disks={c.disk: disk})
    c.elsewhere.state.guests[c.stopped] = other


def _serve_to_two(c: PopulatedCloud) -> None:
    c.home.exports.hosts["vol-1"] = ("h-1", "h-2")


def _write_what_is_not_there(c: PopulatedCloud) -> None:
    c.guest.disks["vol-1"] = replace(c.guest.disks[c.disk], path="/fake/volumes/vol-1.0.qcow2")


def _write_no_layer(c: PopulatedCloud) -> None:
    root = next(name for name in c.guest.disks if name != c.disk)
    c.guest.disks[root].path = f"/fake/volumes/{root}.7.qcow2"


def _write_below(c: PopulatedCloud) -> None:
    root = next(name for name in c.guest.disks if name != c.disk)
    c.host.volumes.add_layer(root, c.host.volumes.chain(root)[-1].number)
    c.host.volumes.write(root, 0, b"written")


def _hold_what_never_was(c: PopulatedCloud) -> None:
    c.cloud.seen["snapshots"].clear()
    c.sql("UPDATE snapshot SET started_ms = 0, completed_ms = 1")


def _lose_block(c: PopulatedCloud) -> None:
    next((c.cloud.blocks / "blocks").glob("*/*")).unlink()


def _lose_manifest(c: PopulatedCloud) -> None:
    next((c.cloud.blocks / "manifests").glob("*/*")).write_bytes(b"nothing")


def _lose_write(c: PopulatedCloud) -> None:
    c.cloud.contents.wrote(c.disk, ELSEWHERE, 99, c.cloud.events.now_ms)


def _restore_otherwise(c: PopulatedCloud) -> None:
    home = next(host for host in c.cloud.hosts if c.restored in host.volumes.made)
    home.volumes.write(c.restored, ELSEWHERE, block_of(7))


def _detach_for_ever(c: PopulatedCloud) -> None:
    c.sql("UPDATE attachment SET detaching = 1 WHERE device_id = ?", c.disk)


def _delete_for_ever(c: PopulatedCloud) -> None:
    c.sql("UPDATE volume SET desired = 'deleted' WHERE volume_id = ?", c.restored)


def _make_for_ever(c: PopulatedCloud) -> None:
    c.sql("UPDATE volume SET made = 0 WHERE volume_id = ?", c.restored)


def _copy_for_ever(c: PopulatedCloud) -> None:
    c.sql("UPDATE snapshot SET status = 'pending'")


def _take_disk(c: PopulatedCloud) -> None:
    del c.guest.disks[c.disk]


def _give_disk(c: PopulatedCloud) -> None:
    c.guest.disks["vol-1"] = replace(c.guest.disks[c.disk])


def _leave_export(c: PopulatedCloud) -> None:
    c.elsewhere.exports.hosts["vol-1"] = (c.host.host_id,)


def _leave_layers(c: PopulatedCloud) -> None:
    for number in range(c.home.volumes.chain(c.disk)[-1].number, 9):
        c.home.volumes.add_layer(c.disk, number)


def _lose_volume(c: PopulatedCloud) -> None:
    c.sql("DELETE FROM volume WHERE volume_id = ?", c.restored)


def _lose_snapshot(c: PopulatedCloud) -> None:
    c.sql("DELETE FROM snapshot")


def _make_unasked(c: PopulatedCloud) -> None:
    del c.cloud.answers.holdings.made["snapshot"][c.snapshot]


def _bring_deleted_back(c: PopulatedCloud) -> None:
    del c.cloud.answers.holdings.made["volume"][c.restored]


def _detach_unasked(c: PopulatedCloud) -> None:
    c.sql("DELETE FROM attachment WHERE device_id = ?", c.disk)


def _attach_unasked(c: PopulatedCloud) -> None:
    c.cloud.answers.holdings.attached[c.disk] = None


def _fail_for_an_absence(c: PopulatedCloud) -> None:
    c.sql("UPDATE snapshot SET status_message = 'the fake hypervisor is away'")


CASES = (
    (promises.absence_is_no_failure, _fail_for_an_absence),
    (storage.a_volume_has_one_writer, _open_twice),
    (storage.a_volume_has_one_writer, _serve_to_two),
    (storage.every_writer_writes_the_top, _write_what_is_not_there),
    (storage.every_writer_writes_the_top, _write_no_layer),
    (storage.every_writer_writes_the_top, _write_below),
    (storage.snapshots_are_of_a_moment, _hold_what_never_was),
    (storage.snapshots_are_whole, _lose_block),
    (storage.snapshots_are_whole, _lose_manifest),
    (storage.volumes_read_as_written, _lose_write),
    (storage.volumes_read_as_written, _restore_otherwise),
    (storage.volumes_converge, _detach_for_ever),
    (storage.volumes_converge, _delete_for_ever),
    (storage.volumes_converge, _make_for_ever),
    (storage.volumes_converge, _copy_for_ever),
    (storage.guests_have_their_disks, _take_disk),
    (storage.guests_have_their_disks, _give_disk),
    (storage.nothing_is_left_of_volumes, _leave_export),
    (storage.nothing_is_left_of_volumes, _leave_layers),
    (holdings.what_was_made_is_there, _lose_volume),
    (holdings.what_was_made_is_there, _lose_snapshot),
    (holdings.nothing_was_made_unasked, _make_unasked),
    (holdings.nothing_was_made_unasked, _bring_deleted_back),
    (holdings.volumes_are_attached_as_answered, _detach_unasked),
    (holdings.volumes_are_attached_as_answered, _attach_unasked),
)
