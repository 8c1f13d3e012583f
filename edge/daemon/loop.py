"""The loop of ``blastcount run``: asks for frames, has them counted, and answers for it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.camera.configured import is_live
from edge.camera.source import FrameSource
from edge.config import Config
from edge.counting.recorder import Recorder, field_guard
from edge.daemon.capture import PASSING, Capture, Captured
from edge.daemon.charts import ChartWatch
from edge.daemon.control import ControlServer
from edge.daemon.lines import status_line
from edge.daemon.live import CountedView
from edge.daemon.protocol import SOCKET_NAME
from edge.daemon.requests import Answer, Inbox, Requests
from edge.daemon.status import Counts, make_status, preview_json, write_heartbeat
from edge.daemon.supervisor import Supervisor
from edge.daemon.trigger import Trigger, mode_of
from edge.daemon.writer import LogWriter
from edge.device.clock import utc_now
from edge.errors import (
    ConfigError,
    ControlError,
    EdgeError,
    FieldError,
    LogBlockedError,
    LogError,
    OutputError,
)
from edge.structures import FieldResult, Frame

_log = logging.getLogger(__name__)

#: From one heartbeat to the next. A collector that asks every 15 s sees a fresh one.
BEAT_S = 5.0
#: ... and while a sample is taken up again, which somebody may be watching.
_RESUMING_BEAT_S = 1.0
#: A camera that nobody asks for a frame is asked this often, so that one that was unplugged is noticed before
#: it is needed, and the preview is never older.
KEEP_ALIVE_S = 2.0
#: Without a turn of the loop for this long, the status says so. A crowded field takes a Pi 4 a few seconds.
STALLED_S = 10.0
#: While a frame is on its way, deadlines are looked at this often.
_BUSY_LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Setup:
    """All that one configuration gives the loop.

    Attributes
    ----------
    config : the configuration
    make_source : makes the source of frames, not yet opened
    recorder : counts frames into the log
    trigger : says when to count
    button : opened with a function to call at every press; None without a button
    check : raises what stands against logging anything now
    model : name and hash, for the status
    charts : judges the charts of quality control; None where nobody looks at them
    """

    config: Config
    make_source: Callable[[], FrameSource]
    recorder: Recorder
    trigger: Trigger
    button: Callable[[Callable[[], None]], AbstractContextManager[object]] | None
    check: Callable[[], None]
    model: dict[str, str]
    charts: ChartWatch | None = None


class Daemon:
    """Counts fields until it is stopped.

    Parameters
    ----------
    setup : what the configuration gives
    reload_setup : reads the configuration again and prepares what it asks for now
    runtime_folder : for the control socket and the heartbeat
    requests : what the loop sleeps on
    supervisor : told about readiness, status and that the loop is alive
    clock : monotonic seconds

    Attributes
    ----------
    counts : what has been counted since the start
    """

    def __init__(
        self,
        setup: Setup,
        reload_setup: Callable[[], Setup],
        *,
        runtime_folder: Path,
        requests: Requests,
        supervisor: Supervisor,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._setup = setup
        self._reload_setup = reload_setup
        self._folder = runtime_folder
        self._requests = requests
        self._supervisor = supervisor
        self._clock = clock
        self.counts = Counts()
        self._started_at = utc_now()
        self._inbox = Inbox(requests.nudge)
        self._due_request = 0
        self._capture: Capture | None = None
        self._buttons = ExitStack()
        self._seen_failures = 0
        self._newest: Captured | None = None
        self._counted: CountedView | None = None
        self._last_reload: dict[str, Any] | None = None
        self._problem: LogBlockedError | None = None
        self._beat_due_s = -math.inf
        self._told_s = -math.inf
        self._snapshot: dict[str, Any] = {}
        self._has_stopped = False
        self._alive_s = clock()

    def run(self, fields: int | None = None) -> None:
        """Count until stopped, until the source ends, or until so many fields are logged.

        Parameters
        ----------
        fields : number of fields to log, or None for no limit

        Raises
        ------
        CameraError
            The camera could not be opened at the start, or has failed too often.
        ControlError
            Another daemon with this log is running.
        SourceError
            The files to be replayed are missing or unusable.
        LogError
            A field could not be logged.
        """
        with ExitStack() as stack:
            waits = self._waits(self._setup)
            self._begin_capture(must_open=not waits, forgiven=PASSING)
            stack.callback(self._end)
            self._refresh()
            writer = LogWriter(lambda: self._setup.config, self._log_was_written)
            stack.enter_context(ControlServer(self._folder / SOCKET_NAME, self.answer, writer))
            stack.callback(self._inbox.refuse_all, ControlError("the daemon is stopping", "stopping"))
            stack.enter_context(self._buttons)
            self._open_button()
            if self._wait_until_open(waits=waits):
                name = self._camera.name
                if self._camera.is_connected or self._camera.has_ended:
                    _log.info("counting from %s, mode %s", name, mode_of(self._setup.config))
                    self._supervisor.tell("READY=1", f"STATUS=counting from {name}")
                else:
                    _log.warning("waiting for the camera: %s", self._camera.last_failure)
                    self._supervisor.tell("READY=1")  # the status has been told by now
                self._loop(fields)
        _log.info(
            "stopped: %d fields logged, %d of them rejected; %d camera failures",
            self.counts.logged,
            self.counts.rejected,
            self._seen_failures,
        )

    def _waits(self, setup: Setup) -> bool:
        """Whether an absent camera is waited for: by a service. A person at a terminal is told instead."""
        return self._supervisor.is_there and is_live(setup.config)

    def _wait_until_open(self, *, waits: bool = False) -> bool:
        """Wait for the camera's first opening; False where a stop came first.

        Parameters
        ----------
        waits : a first failure is enough, and the loop goes on without the camera
        """
        while not self._camera.is_connected and not self._camera.has_ended:
            self._feed()
            if self._requests.wait(_BUSY_LOOK_S):
                return False
            self._camera.check()
            self._notice_failures()
            if waits and self._seen_failures:
                break
        return True

    def _loop(self, fields: int | None) -> None:
        while fields is None or self.counts.logged < fields:
            self._feed()
            if self._requests.is_stopping:
                return
            if self._requests.take_reload():
                self._reload()
            self._take_commands()
            if self._problem is None:
                self._look_for_sample()
            self._camera.check()
            self._notice_failures()
            captured = self._camera.take()
            if captured is not None:
                self._look_at(captured)
            elif self._camera.has_ended:
                _log.info("%s has come to its end", self._camera.name)
                return
            self._ask_for_frames()
            self._beat()
            self._requests.wait(self._time_to_sleep())

    def _look_at(self, captured: Captured) -> None:
        """Count a frame where somebody asked for it or the trigger wants it."""
        self._newest = captured
        asked = self._inbox.due(captured.request)
        due = 0 < self._due_request <= captured.request
        if due:
            self._due_request = 0
        if self._problem is None and (asked or due):
            refusal = None
            try:
                with field_guard(captured.frame.source):
                    if not (asked or self._setup.trigger.wants(captured.frame)):
                        return
                answer = self._count(captured)
            except FieldError as error:
                # The same view is not tried again and again; where the log refused it, it is.
                self._remember(captured.frame)
                _log.error("%s", error)
                self.counts.failed += 1
                self._refresh()
                refusal = ControlError(str(error), "field_failed")
            except (LogError, OutputError) as error:
                problem = self._named(error)
                self._stand_still(problem)
                refusal = ControlError(str(problem), problem.state)
            for wanted in asked:
                if refusal is None:
                    wanted.answer.set_result(answer)
                else:
                    wanted.answer.set_exception(refusal)

    def _named(self, error: LogError | OutputError) -> LogBlockedError:
        """Find the named reason behind a failure of log or disk; without one the failure ends the run."""
        if isinstance(error, LogBlockedError):
            return error
        try:
            self._setup.check()
        except LogBlockedError as problem:
            return problem
        raise error

    def _stand_still(self, problem: LogBlockedError | None) -> None:
        """Stop counting for a reason, or go on where there is none any more."""
        if problem is None:
            _log.info("counting goes on")
        elif self._problem is None or str(problem) != str(self._problem):
            _log.error("not counting: %s", problem)
            self._inbox.refuse(ControlError(str(problem), problem.state))
        self._problem = problem
        self._refresh()

    def _count(self, captured: Captured) -> dict[str, Any]:
        recorded = self._setup.recorder.record(captured.frame)
        self._remember(captured.frame)
        if recorded.result.status == "counted":
            self._counted = CountedView(recorded.field_id, captured.frame)
        self.counts.add(recorded.field_id, recorded.result, recorded.sample, self._clock())
        _log.debug("field %d: %s", recorded.field_id, _describe(recorded.result))
        self._refresh()
        assert self.counts.last_field is not None  # just added
        return self.counts.last_field

    def _remember(self, frame: Frame) -> None:
        """Tell the trigger that a place is done; where that fails, it is counted twice at worst."""
        with suppress(FieldError), field_guard(frame.source):
            self._setup.trigger.counted(frame, self._clock())

    def _look_for_sample(self) -> None:
        """See whether somebody has opened or closed a sample; its first field is counted wherever it lies."""

        def go_on() -> bool:
            self._feed()  # a sample of 200 fields takes a Pi a minute or two
            if self._clock() >= self._told_s + _RESUMING_BEAT_S:
                self._refresh()
            return not self._requests.is_stopping

        try:
            changed = self._setup.recorder.refresh(go_on)
            if changed:
                self._setup.trigger.reset()
            if self._setup.charts is not None:
                self._setup.charts.look(sample_changed=changed, go_on=go_on)
        except (LogError, OutputError) as error:
            self._stand_still(self._named(error))

    def _feed(self) -> None:
        """Tell systemd that the loop is alive; nothing else does, so that whatever hangs it is noticed."""
        self._alive_s = self._clock()
        self._supervisor.tell("WATCHDOG=1")

    def _ask_for_frames(self) -> None:
        now_s = self._clock()
        for wanted in self._inbox.wanted:
            wanted.request = wanted.request or self._camera.request()
        if self._camera.is_asked:
            return
        if self._problem is None and self._setup.trigger.due_s(now_s) <= now_s:
            self._due_request = self._camera.request()
            self._setup.trigger.asked(now_s)
        elif self._camera.live and self._camera.is_connected and self._is_stale():
            self._camera.request()

    def _is_stale(self) -> bool:
        age_s = self._camera.age_s()
        return age_s is None or age_s >= KEEP_ALIVE_S

    def _time_to_sleep(self) -> float:
        now_s = self._clock()
        # sd_watchdog_enabled(3) recommends half the time that systemd allows.
        limits = [self._beat_due_s - now_s, (self._supervisor.watchdog_s or math.inf) / 2]
        if self._camera.is_asked or not self._camera.is_connected:
            limits.append(_BUSY_LOOK_S)
        else:
            if self._problem is None:
                limits.append(self._setup.trigger.due_s(now_s) - now_s)
            if self._camera.live:
                limits.append(KEEP_ALIVE_S)
        return max(0.0, min(limits))

    @property
    def _camera(self) -> Capture:
        assert self._capture is not None  # made before anything asks for it
        return self._capture

    def _begin_capture(self, *, must_open: bool, forgiven: frozenset[str] = frozenset()) -> None:
        setup = self._setup
        self._capture = Capture(
            setup.make_source,
            timeout_s=setup.config.camera.timeout_s,
            live=is_live(setup.config),
            must_open=must_open,
            forgiven=forgiven,
            nudge=self._requests.nudge,
            clock=self._clock,
        )

    def _end(self) -> None:
        """Let go of the camera, and leave no heartbeat that says otherwise."""
        self._camera.close()
        self._has_stopped = True
        self._refresh()

    def _notice_failures(self) -> None:
        """Tell whoever waits for a capture that the camera has failed, and systemd."""
        failures = self._camera.reconnect.total
        if failures == self._seen_failures:
            return
        self._seen_failures = failures
        error = self._camera.last_failure
        self._inbox.refuse(ControlError(f"nothing counted: {error}", "no_camera"))
        self._setup.trigger.reset()  # the stage may have been anywhere while nobody looked
        self._refresh()

    def answer(self, command: str) -> dict[str, Any]:
        """Answer a client, in the client's thread.

        Raises
        ------
        ControlError
            The command cannot be done.
        """
        if command == "status":
            return self.status()
        if command == "preview":
            return self._preview()
        return self._inbox.ask(command)

    def _log_was_written(self) -> None:
        """Have the status put together anew, in a writer's thread: its sample may be another."""
        self._beat_due_s = -math.inf
        self._requests.nudge()

    def _take_commands(self) -> None:
        for command, answer in self._inbox.take():
            if command == "reload":
                self._reload(answer)
            elif self._problem is not None:
                answer.set_exception(ControlError(str(self._problem), self._problem.state))
            elif not self._camera.is_connected:
                failure = self._camera.last_failure or "the camera is being opened"
                answer.set_exception(ControlError(f"nothing counted: {failure}", "no_camera"))
            else:
                self._inbox.want(answer)

    def _preview(self) -> dict[str, Any]:
        newest = self._newest
        if self._camera.live and not self._camera.is_asked:
            self._camera.request()
            self._requests.nudge()
        if newest is None:
            raise ControlError("no frame has come yet", "no_frame")
        counted, place = self._counted, None
        with suppress(FieldError), field_guard(newest.frame.source):  # a picture without outlines will do
            place = None if counted is None else counted.offset_px(newest.frame)
        return preview_json(newest.frame, self._clock() - newest.taken_at_s) | {
            "counted": None
            if counted is None or place is None
            else {"field": counted.field_id, "x": round(place[0], 1), "y": round(place[1], 1)}
        }

    def _open_button(self) -> None:
        self._buttons.close()
        if self._setup.button is not None:
            self._buttons.enter_context(self._setup.button(self._inbox.press))

    def _reload(self, asked: Answer | None = None) -> None:
        """Read the configuration again; what cannot be used leaves everything as it was."""
        self._supervisor.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
        at = utc_now().isoformat(timespec="seconds")
        try:
            setup = self._prepared()
            self._switch(setup)
        except EdgeError as error:
            _log.error("configuration not reloaded, the old one stays in force: %s", error)
            self._last_reload = {"at": at, "ok": False, "message": str(error)}
            if asked is not None:
                asked.set_exception(ControlError(f"kept the old configuration: {error}", "bad_config"))
        else:
            self._last_reload = {"at": at, "ok": True, "message": setup.config.sha256}
            _log.info("configuration reloaded: sha256 %.12s", setup.config.sha256)
            if asked is not None:
                asked.set_result({"sha256": setup.config.sha256})
        self._refresh()
        self._supervisor.tell("READY=1")

    def _prepared(self) -> Setup:
        try:
            return self._reload_setup()
        except EdgeError:
            raise
        except Exception as error:  # an interpreter may raise whatever it likes over a model
            said = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"a library failed on what it asks for: {said}") from error

    def _switch(self, setup: Setup) -> None:
        """Let go of the old button and camera and open the new; where one does not open, take back the old.

        A pin or a camera can be opened once at a time: the old one has to go first.

        Raises
        ------
        EdgeError
            The new button or camera cannot be opened; all is as it was.
        """
        before, self._setup = self._setup, setup
        setup.recorder.take_over(before.recorder)
        reopen = (before.config.camera, before.config.scale) != (setup.config.camera, setup.config.scale)
        try:
            self._open_button()
            if reopen:
                # Where the old camera is not there either, nothing is lost by waiting for the new one.
                waits = self._waits(setup) and not self._camera.is_connected
                self._change_camera(must_open=not waits)
                self._wait_until_open(waits=waits)
        except EdgeError:
            self._setup = before
            if reopen:
                self._change_camera(must_open=False)
            self._open_button()
            raise

    def _change_camera(self, *, must_open: bool) -> None:
        self._camera.close()
        self._seen_failures = self._due_request = 0
        for wanted in self._inbox.wanted:
            wanted.request = 0
        self._begin_capture(must_open=must_open)

    def status(self) -> dict[str, Any]:
        """Tell how it is, in any thread: the loop's last word, with the ages of now."""
        capture = self._capture
        age_s = None if capture is None else capture.age_s()
        loop_age_s = self._clock() - self._alive_s
        stalled: dict[str, Any] = {}
        if loop_age_s > STALLED_S and self._snapshot.get("state") == "counting":
            late = f"no sign of life for {loop_age_s:.0f} s: the disk does not answer, or a field takes long"
            stalled = {"state": "stalled", "problem": late}
        return (
            self._snapshot
            | stalled
            | {
                "queue_age_s": None if age_s is None else round(age_s, 3),
                "loop_age_s": round(loop_age_s, 3),
                "uptime_s": round((utc_now() - self._started_at).total_seconds(), 1),
            }
        )

    def _beat(self) -> None:
        now_s = self._clock()
        if now_s >= self._beat_due_s:
            self._beat_due_s = now_s + BEAT_S
            problem = None
            try:
                self._setup.check()
            except LogBlockedError as found:
                problem = found
            if problem is not None or self._problem is not None:
                self._stand_still(problem)
            else:
                self._refresh()

    def _refresh(self) -> None:
        """Put the status together, hand it to systemd and write the heartbeat."""
        setup = self._setup
        self._told_s = self._clock()
        self._snapshot = make_status(
            self._camera, self.counts, setup.config, now_s=self._clock(), problem=self._problem
        ) | {
            "started_at": self._started_at.isoformat(timespec="seconds"),
            "sample": setup.recorder.sample_status(),
            "calibration_problem": setup.recorder.calibration_problem,
            "qc": self._qc_status(),
            "model": setup.model,
            "last_reload": self._last_reload,
            "at": utc_now().isoformat(timespec="seconds"),
        }
        if self._has_stopped:
            self._snapshot["state"] = "stopped"
        status = self.status()
        # One line: another would be taken for an assignment of its own.
        self._supervisor.tell(f"STATUS={' '.join(status_line(status).split())}")
        write_heartbeat(self._folder, status)

    def _qc_status(self) -> dict[str, Any] | None:
        """Tell the open alarms; None where nobody looks, or the log cannot be read."""
        with suppress(LogError):
            return None if self._setup.charts is None else self._setup.charts.status()
        return None


def _describe(result: FieldResult) -> str:
    if result.status == "rejected":
        return f"{result.source} rejected: {', '.join(result.reasons)}"
    doubts = f", warning: {', '.join(result.warnings)}" if result.warnings else ""
    return f"{result.source} {result.wbc} white cells in {sum(result.stage_ms.values()):.0f} ms{doubts}"
