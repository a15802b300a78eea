"""``pileus up``: from whatever is there to a cloud in which a launch would succeed.

Every step looks before it acts, so that a second run takes seconds and a run that was cut off is
simply run again. Called by cli/__main__.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from cli import checks, cloud, configs, demo_image, images, libvirtd, pki, services
from cli.api import Api, ApiError, Json, operators_key
from cli.cloud import Cloud, Wishes
from cli.errors import CliError
from cli.layout import Layout
from cli.locks import Claims, alone
from cli.progress import Progress
from cli.services import ROOT, Program
from protos.files import write_whole

ANSWER_TIMEOUT_S, DYING_TIMEOUT_S = 60.0, 8.0
# QEMU's capabilities alone take eight seconds; without libvirt the agent ends and is started again.
READY_TIMEOUT_S, DYING_HOST_TIMEOUT_S = 120.0, 30.0
POLL_S = 0.2
COMMAND_TIMEOUT_S = 60


@dataclass(frozen=True)
class Up:
    """One run of ``up``. ``poll`` waits between two looks (seconds)."""

    layout: Layout
    progress: Progress
    clock: Callable[[], float] = time.monotonic
    poll: Callable[[float], None] = time.sleep

    def run(self, wishes: Wishes) -> Cloud:
        """Raises CliError with what is in the way."""
        layout, progress = self.layout, self.progress
        with alone(layout, self._wait_is_on) as locks, Claims() as claims:
            with progress.step("machine") as step:
                chosen, why, before = self._choose(wishes, claims)
                step.result(_described(chosen, why))
            if before:
                progress.print(_moved(layout, before, chosen))
            with progress.step("certificates") as step:
                new_key = configs.ensure_master_key(layout)
                made = pki.ensure(layout, chosen, pki.now_utc())
                step.result("made" if made or new_key else "there")
            if not chosen.fake:
                certificates = configs.nbd_folder(layout, chosen)
                libvirtd.prepare(layout, certificates, libvirtd.boot_id())
            configs.write_controller(layout, chosen)
            configs.write_gateway(layout, chosen)
            with progress.step("first account") as step:
                step.result("made" if self._ensure_operator(locks) else "there")
            self._ensure_host(chosen, locks)
            write_env(layout, chosen)
            api = Api(layout, chosen)
            with self._stopped_again_unless_it_answers():
                with progress.step("services") as step:
                    step.result(self._start(chosen))
                with progress.step("endpoint") as step:
                    self._await_answer(api, chosen)
                    step.result(chosen.endpoint)
            with progress.step("demo image") as step:
                step.result(self._ensure_image(api, chosen, step.say))
            with progress.step("ready") as step:
                step.result(self._await_readiness(api, step.say))
            self._forget_tokens(chosen)
        return chosen

    def _wait_is_on(self) -> None:
        self.progress.print(f"waiting: another `pileus up` or `down` works on {self.layout.root}")

    @contextmanager
    def _stopped_again_unless_it_answers(self) -> Iterator[None]:
        """What does not answer at all is of no use; what does is left for ``status`` to look at."""
        ran = services.exists(self.layout)
        try:
            yield
        except BaseException:
            if not ran:
                with self.progress.step("services") as step:
                    services.stop(self.layout)
                    step.result("stopped again; `./pileus up` is the next try")
            raise

    def _choose(self, wishes: Wishes, claims: Claims) -> tuple[Cloud, str, str]:
        """Settles what the cloud is here, with the reason for its hypervisor, and where its
        endpoint was where it is to move; refuses what would go wrong later."""
        layout = self.layout

        def port_is_free(port: int) -> bool:
            return claims.take(f"port {port}") and checks.port_is_free(port)

        known = cloud.load(layout)
        if known is None:
            checks.folder_is_free(layout)
        routed = [route.network for route in checks.routes() if route.network.prefixlen]
        wishes = _as_recorded(wishes, known)
        chosen = cloud.choose(layout, wishes, port_is_free, routed, claims.take)
        checks.may_run(layout, chosen)
        checks.address_is_here(chosen.listen)
        if known is not None and services.is_supervised(layout):
            checks.endpoint_can_move(layout, known, chosen, claims.take)
        else:
            services.stop(layout)  # one that does not answer, but whose services hold the ports
            checks.ports_are_free(layout, chosen, claims.take)
        if known is None and not chosen.fake:
            checks.pool_is_free(chosen, layout, claims.take)
        cloud.save(layout, chosen)  # first: it says that the folder is ours to fill, and to remove
        layout.make()
        # Not as it is recorded: another machine, or this one's next processor, may have KVM.
        hypervisor, why = checks.hypervisor(chosen.hypervisor, checks.kvm_lacks)
        before = known.endpoint if known is not None else chosen.endpoint
        moved_from = before if before != chosen.endpoint else ""
        return replace(chosen, hypervisor=hypervisor), why, moved_from

    def _ensure_operator(self, locks: Sequence[int]) -> bool:
        if self.layout.operator.exists():
            return False
        self._controller(locks, "init", "--credentials-file", str(self.layout.operator))
        return True

    def _ensure_host(self, chosen: Cloud, locks: Sequence[int]) -> None:
        """A host's configuration carries its one-time tokens until it has joined."""
        names = configs.host_names(chosen)
        if all((self.layout.host(name) / "pki" / "host.crt").exists() for name in names):
            configs.write_host(self.layout, chosen, [])
            return
        tokens = [
            self._controller(locks, "join-token", "--host-name", name, "--zone", chosen.zone)
            for name in names
        ]
        configs.write_host(self.layout, chosen, tokens)

    def _forget_tokens(self, chosen: Cloud) -> None:
        """They are used up; the agent that runs need not start anew for it."""
        configs.write_host(self.layout, chosen, [])
        services.remember(self.layout, programs(self.layout, chosen))

    def _controller(self, locks: Sequence[int], *arguments: str) -> str:
        """A command of the controller's that needs no running one. It holds the lock with us."""
        command = [sys.executable, "-m", "controller"]
        command += ["--config", str(self.layout.config("controller")), *arguments]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=COMMAND_TIMEOUT_S,
                pass_fds=locks,
            )
        except subprocess.TimeoutExpired as failure:
            raise CliError(f"the controller's `{arguments[0]}` does not end") from failure
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise CliError(f"the controller's `{arguments[0]}` failed:\n{said}")
        return done.stdout.strip()

    def _start(self, chosen: Cloud) -> str:
        wanted = programs(self.layout, chosen)
        services.write_configuration(self.layout, wanted)
        fresh = services.ensure_supervisor(self.layout)
        changed = services.ensure_running(self.layout, wanted, fresh)
        if fresh:
            return ", ".join(program.name for program in wanted)
        return f"started anew: {', '.join(changed)}" if changed else "running already"

    def _await_answer(self, api: Api, chosen: Cloud) -> None:
        began = self.clock()
        while True:
            try:
                api.call("GET", "/v1/readiness")
                return
            except ApiError as refusal:
                # UNAVAILABLE: the gateway is there before its controller.
                if refusal.kind not in ("UNREACHABLE", "UNAVAILABLE"):
                    raise
                waited = self.clock() - began
                if waited > (DYING_TIMEOUT_S if self._dying() else ANSWER_TIMEOUT_S):
                    message = f"{refusal.format_message()} {self._failing()}"
                    raise CliError(message) from refusal
            self.poll(POLL_S)

    def _ensure_image(self, api: Api, chosen: Cloud, say: Callable[[str], None]) -> str:
        if found := images.find_demo(api):
            return f"{found['image_id']} {images.DEMO_NAME}"
        if chosen.fake:
            file = self.layout.run / "blank.raw"
            images.make_blank(file)
        else:
            try:
                file = demo_image.ensure(self.layout.cache / "images", say)
            except demo_image.BuildError as failure:
                raise CliError(f"the demo image: {failure}") from failure
        say("uploading")
        image = images.import_file(
            api,
            file,
            images.DEMO_NAME,
            description="A small guest of Debian packages: busybox, bash, curl, dropbear",
            public=True,
        )
        return f"{image['image_id']} {images.DEMO_NAME}"

    def _await_readiness(self, api: Api, say: Callable[[str], None]) -> str:
        began = self.clock()
        while True:
            answer = api.call("GET", "/v1/readiness")
            if answer["ready"]:
                return f"{answer['hosts_up']} host{'s' * (answer['hosts_up'] != 1)} up"
            reasons = "; ".join(answer["reasons"])
            waited = self.clock() - began
            if waited > (DYING_HOST_TIMEOUT_S if self._dying() else READY_TIMEOUT_S):
                raise CliError(f"not ready after {waited:.0f} s: {reasons}. {self._failing()}")
            say(f"waiting: {reasons}")
            self.poll(POLL_S)

    def _dying(self) -> bool:
        """Whether a service ends again and again: no waiting helps."""
        return any(state.state == "BACKOFF" for state in services.states(self.layout).values())

    def _failing(self) -> str:
        """What those services say that do not run."""
        found = services.states(self.layout)
        said = [
            f"\n--- {name} ({state.state}):\n{services.tail(self.layout.logs / f'{name}.log')}"
            for name, state in found.items()
            if not state.running
        ]
        return "".join(said) or f"The services run; see {self.layout.logs}."


def programs(layout: Layout, chosen: Cloud) -> list[Program]:
    """Everything under the supervisor, in the order in which it starts."""
    found = [] if chosen.fake else libvirtd.programs(layout)
    found.append(services.python_service(layout, "controller", "controller", priority=30))
    found.append(services.python_service(layout, "gateway", "gateway", priority=40))
    found.append(services.python_service(layout, "hostagent", "host", priority=50))
    return found


def exports(layout: Layout, chosen: Cloud, access_key: Json | None = None) -> str:
    """Shell exports for the operator, or for the account of ``access_key``.

    Also for an unquoted ``eval $(...)``, which makes one line of them. A session token or a profile
    left over from elsewhere would go with our keys, or before them.
    """
    key = access_key or operators_key(layout)
    lines = [
        "unset AWS_SESSION_TOKEN AWS_PROFILE;",
        f"export AWS_ENDPOINT_URL={chosen.endpoint}",
        f"export AWS_ACCESS_KEY_ID={key['access_key_id']}",
        f"export AWS_SECRET_ACCESS_KEY={key['secret_access_key']}",
        f"export AWS_DEFAULT_REGION={chosen.region}",
    ]
    if not chosen.loopback:
        lines.append(f"export AWS_CA_BUNDLE={layout.ca}")
    return "\n".join(lines) + "\n"


def write_env(layout: Layout, chosen: Cloud) -> None:
    write_whole(layout.env, exports(layout, chosen))


def _as_recorded(wishes: Wishes, known: Cloud | None) -> Wishes:
    """Who asks for what ``auto`` means on this machine asks for nothing else."""
    if known is None or known.hypervisor != "auto" or wishes.hypervisor is None:
        return wishes
    meant, _ = checks.hypervisor("auto", checks.kvm_lacks)
    return replace(wishes, hypervisor=None) if wishes.hypervisor == meant else wishes


def _moved(layout: Layout, before: str, chosen: Cloud) -> str:
    return (
        f"! the endpoint moves from {before} to {chosen.endpoint}: shells and scripts that have "
        f"the old one need `./pileus env{layout.option}` again (a second cloud is made by another "
        "--state-dir)"
    )


def _described(chosen: Cloud, why: str) -> str:
    zones = f", {chosen.zones} zones" if chosen.zones > 1 else ""
    if chosen.fake:
        return f"{chosen.hosts} fake host{'s' * (chosen.hosts != 1)}, no guests{zones}"
    because = f" ({why}: guests are emulated)" if why else ""
    return f"hypervisor {chosen.hypervisor}{because}, public addresses {chosen.public_cidr}{zones}"
