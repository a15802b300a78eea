"""How invariants about volumes, snapshots and what calls have made fail: ways to spoil a cloud at
rest (test_invariants).
"""

from dataclasses import replace

from hostagent.compute.drivers import Power
from hostagent.compute.hypervisors.fake_guests import Guest
from tests.harness.contents import BLOCK, block_of
from tests.harness.invariants import holdings, promises, storage
from tests.harness.spoiler import Spoiler

ELSEWHERE = 9 * BLOCK  # where no guest writes


def _open_twice(s: Spoiler) -> None:
    disk = replace(s.guest.disks[s.disk])
    other = Guest(Power.RUNNING.value, disks={s.disk: disk})
    s.elsewhere.state.guests[s.stopped] = other


def _serve_to_two(s: Spoiler) -> None:
    s.home.exports.hosts["vol-1"] = ("h-1", "h-2")


def _write_what_is_not_there(s: Spoiler) -> None:
    s.guest.disks["vol-1"] = replace(s.guest.disks[s.disk], path="/fake/volumes/vol-1.0.qcow2")


def _write_no_layer(s: Spoiler) -> None:
    root = next(name for name in s.guest.disks if name != s.disk)
    s.guest.disks[root].path = f"/fake/volumes/{root}.7.qcow2"


def _write_below(s: Spoiler) -> None:
    root = next(name for name in s.guest.disks if name != s.disk)
    s.host.volumes.add_layer(root, s.host.volumes.chain(root)[-1].number)
    s.host.volumes.write(root, 0, b"written")


def _hold_what_never_was(s: Spoiler) -> None:
    s.cloud.seen["snapshots"].clear()
    s.sql("UPDATE snapshot SET started_ms = 0, completed_ms = 1")


def _lose_block(s: Spoiler) -> None:
    next((s.cloud.blocks / "blocks").glob("*/*")).unlink()


def _lose_manifest(s: Spoiler) -> None:
    next((s.cloud.blocks / "manifests").glob("*/*")).write_bytes(b"nothing")


def _lose_write(s: Spoiler) -> None:
    s.cloud.contents.wrote(s.disk, ELSEWHERE, 99, s.cloud.agenda.now_ms)


def _restore_otherwise(s: Spoiler) -> None:
    home = next(host for host in s.cloud.hosts if s.restored in host.volumes.made)
    home.volumes.write(s.restored, ELSEWHERE, block_of(7))


def _detach_for_ever(s: Spoiler) -> None:
    s.sql("UPDATE attachment SET detaching = 1 WHERE device_id = ?", s.disk)


def _delete_for_ever(s: Spoiler) -> None:
    s.sql("UPDATE volume SET desired = 'deleted' WHERE volume_id = ?", s.restored)


def _make_for_ever(s: Spoiler) -> None:
    s.sql("UPDATE volume SET made = 0 WHERE volume_id = ?", s.restored)


def _copy_for_ever(s: Spoiler) -> None:
    s.sql("UPDATE snapshot SET status = 'pending'")


def _take_disk(s: Spoiler) -> None:
    del s.guest.disks[s.disk]


def _give_disk(s: Spoiler) -> None:
    s.guest.disks["vol-1"] = replace(s.guest.disks[s.disk])


def _leave_export(s: Spoiler) -> None:
    s.elsewhere.exports.hosts["vol-1"] = (s.host.host_id,)


def _leave_layers(s: Spoiler) -> None:
    for number in range(s.home.volumes.chain(s.disk)[-1].number, 9):
        s.home.volumes.add_layer(s.disk, number)


def _lose_volume(s: Spoiler) -> None:
    s.sql("DELETE FROM volume WHERE volume_id = ?", s.restored)


def _lose_snapshot(s: Spoiler) -> None:
    s.sql("DELETE FROM snapshot")


def _make_unasked(s: Spoiler) -> None:
    del s.cloud.answers.holdings.made["snapshot"][s.snapshot]


def _bring_deleted_back(s: Spoiler) -> None:
    del s.cloud.answers.holdings.made["volume"][s.restored]


def _detach_unasked(s: Spoiler) -> None:
    s.sql("DELETE FROM attachment WHERE device_id = ?", s.disk)


def _attach_unasked(s: Spoiler) -> None:
    s.cloud.answers.holdings.attached[s.disk] = None


def _fail_for_an_absence(s: Spoiler) -> None:
    s.sql("UPDATE snapshot SET status_message = 'the fake hypervisor is away'")


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
    (storage.volumes_settle, _detach_for_ever),
    (storage.volumes_settle, _delete_for_ever),
    (storage.volumes_settle, _make_for_ever),
    (storage.volumes_settle, _copy_for_ever),
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
