"""``pileus down``: stops the services, and with --destroy removes all that the cloud has made.

Called by cli/__main__. Guests outlive ``down``; nothing outlives ``down --destroy`` but the cache.
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from cli import checks, cloud, configs, libvirtd, services
from cli.cloud import Cloud
from cli.errors import CliError
from cli.layout import Layout
from cli.locks import alone
from cli.progress import Progress
from cli.services import ROOT

DESTROY_TIMEOUT_S = 600


@dataclass(frozen=True)
class Down:
    layout: Layout
    progress: Progress

    def run(self, destroy: bool) -> None:
        """Raises CliError. May be run again at any time, also after a run that was cut off."""
        with alone(self.layout, self._wait_is_on, make=False) as locks:
            chosen = cloud.load(self.layout) if locks else None
            ran = services.exists(self.layout)
            if chosen is None and not ran:
                self._nothing_there(destroy and bool(locks))
                return
            if destroy and chosen is not None:
                checks.may_run(self.layout, chosen)
                self._destroy_guests(chosen, locks)
            with self.progress.step("services") as step:
                ran = services.stop(self.layout) or ran
                step.result("stopped" if ran else "were not running")
            if destroy and locks:
                self._remove_state(chosen)
        if not destroy and chosen is not None and not chosen.fake:
            self.progress.print("Guests keep running; `./pileus up` finds them again.")

    def _wait_is_on(self) -> None:
        self.progress.print(f"waiting: another `pileus up` or `down` works on {self.layout.root}")

    def _nothing_there(self, destroy: bool) -> None:
        if destroy and self.layout.foreign_files():
            raise CliError(f"{self.layout.root} is not a cloud's state dir; it is left alone")
        cloud.refuse_if_roots_is_meant(self.layout)
        if destroy:
            self.layout.unfinished_cloud.unlink(missing_ok=True)
        self.progress.print(
            f"There is no cloud in {self.layout.root}{cloud.elsewhere(self.layout)}."
        )

    def _destroy_guests(self, chosen: Cloud, locks: Sequence[int]) -> None:
        """Domains, networks and disks: by the agent, which made them, with nobody else at work."""
        if not self.layout.config("host").exists():
            return
        with self.progress.step("guests") as step:
            if not chosen.fake:
                self._only_libvirt_runs(chosen)
            else:
                services.stop(self.layout)
            done = subprocess.run(
                [sys.executable, "-m", "hostagent", "--config"]
                + [str(self.layout.config("host")), "--destroy"],
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=DESTROY_TIMEOUT_S,
                pass_fds=locks,
            )
            if done.returncode != 0:
                said = (done.stderr or done.stdout).strip()
                raise CliError(f"the host's guests and networks are not all gone:\n{said}")
            step.result("removed, networks and disks too")

    def _only_libvirt_runs(self, chosen: Cloud) -> None:
        services.stop(self.layout)
        certificates = configs.nbd_folder(self.layout, chosen)
        libvirtd.prepare(self.layout, certificates, libvirtd.boot_id())
        services.write_configuration(self.layout, libvirtd.programs(self.layout))
        services.ensure_supervisor(self.layout)
        libvirtd.await_socket(self.layout)

    def _remove_state(self, chosen: Cloud | None) -> None:
        with self.progress.step("state") as step:
            if chosen is not None and not chosen.fake:
                libvirtd.stop_logging(self.layout)
            self._empty()
            self.layout.supervisor_socket.unlink(missing_ok=True)  # may be elsewhere
            kept = f"; {self.layout.cache} is kept as a cache" if self.layout.cache.exists() else ""
            step.result(f"{self.layout.root} removed{kept}")

    def _empty(self) -> None:
        """Removes all that is in the state dir; the folder itself goes with the lock.

        cloud.json last: as long as it is there, this can be done again.
        """
        last = self.layout.cloud
        entries = sorted(self.layout.root.iterdir(), key=lambda path: path == last)
        try:
            for path in entries:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        except OSError as failure:
            raise CliError(f"{self.layout.root} is not all removed: {failure}") from failure
