"""One connection to an MQTT 5 broker, from its beginning to its end: what happens on it comes as events.

paho-mqtt could reconnect by itself, and would then send again what it remembers. Here a lost connection is
over: the log and the broker's session remember, and the next connection is a new one.
"""

from __future__ import annotations

import contextlib
import queue
import random
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from edge.config import BrokerConfig
from edge.device.reading import read_bounded
from edge.errors import ConfigError, EdgeError, RuntimeMissingError

if TYPE_CHECKING:
    from paho.mqtt.client import Client

#: Longest wait for the broker's answer to a connection.
_CONNECT_S = 20.0
#: What the broker says of a message that it took and nobody has asked for (MQTT 5, table 2-6).
NO_SUBSCRIBERS = 0x10
#: Why a connection ends (MQTT 5, table 3-10).
_UNSPECIFIED, _TAKEN_OVER = 0x80, 0x8E
_KEEP_SESSION = 0xFFFFFFFF  # never expires (MQTT 5, 3.1.2.11.2)
_MAX_PASSWORD_BYTES = 4096
#: Messages of a connection that are no links: status, what announces the device, whether it is there.
_BESIDE = 4


class BrokerError(EdgeError):
    """The broker cannot be reached, or refuses.

    Attributes
    ----------
    reason : ``unreachable``, ``certificate``, ``refused`` (name, password or rights) or ``lost``
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class Taken(NamedTuple):
    """The broker has taken a message, or not: ``code`` from 0x80 on."""

    mid: int
    code: int


class Received(NamedTuple):
    """A message has come; the broker keeps it until it is acknowledged."""

    topic: str
    payload: bytes
    mid: int
    retained: bool


class Closed(NamedTuple):
    """The connection is over."""

    why: str


Event = Taken | Received | Closed


class Connection(Protocol):
    """What the senders' and the receivers' logic needs of a connection; a test has one without a network."""

    events: queue.SimpleQueue[Event]
    #: Messages that the other side wants on their way at once.
    window: int

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Send with QoS 1; :class:`Taken` has the number that this gives."""

    def acknowledge(self, message: Received) -> None:
        """Tell the broker that a message is kept here."""


class Session(NamedTuple):
    """How one side is known to the broker.

    Attributes
    ----------
    client_id, user : its names
    will : topic and payload that the broker publishes, retained, when the connection is lost
    keep : the broker keeps what comes while it is away; for who subscribes
    window : messages that it wants to be sent at once
    """

    client_id: str
    user: str
    will: tuple[str, bytes] | None = None
    keep: bool = False
    window: int = 100


class PahoConnection:
    """A :class:`Connection` over the network. Use it in a ``with`` statement.

    Parameters
    ----------
    config : the broker
    session : how to be known
    subscribe : topics
    """

    def __init__(self, config: BrokerConfig, session: Session, subscribe: tuple[str, ...] = ()) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.window = session.window
        self._config = config
        self._session = session
        self._subscribe = subscribe
        self._answer: queue.SimpleQueue[tuple[int, str, int]] = queue.SimpleQueue()
        self._client = self._make_client()

    def __enter__(self) -> Self:
        """Connect.

        Raises
        ------
        BrokerError
            It did not work.
        """
        config, session = self._config, self._session
        where = f"{config.broker}:{config.tcp_port}"
        try:
            self._client.connect(
                config.broker or "",
                config.tcp_port,
                keepalive=config.keep_alive_s,
                clean_start=not session.keep,
                properties=_connect_properties(session),
            )
        except ssl.SSLError as error:
            raise BrokerError(
                f"{where}: the certificates do not agree: {error}; check ca_file, cert_file and the broker's "
                "own name and date",
                "certificate",
            ) from error
        except (OSError, ValueError) as error:
            raise BrokerError(f"{where}: cannot be reached: {error}", "unreachable") from error
        self._client.loop_start()
        try:
            code, name, window = self._answer.get(timeout=_CONNECT_S)
        except queue.Empty:
            self.close()
            raise BrokerError(f"{where}: did not answer within {_CONNECT_S:g} s", "unreachable") from None
        if code:
            self.close()
            raise BrokerError(
                f"{where}: does not let {session.user} in: {name}; check name, password_file, cert_file",
                "refused" if code >= 0x80 else "lost",
            )
        self.window = min(session.window, max(1, window - _BESIDE))
        return self

    def __exit__(self, *_raised: object) -> None:
        """Disconnect."""
        self.close()

    def close(self) -> None:
        """Disconnect, and end the thread that listens."""
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
        self._client.loop_stop()
        # Paho closes its last sockets when nobody refers to it, and its callbacks do.
        client = self._client
        client.on_connect = client.on_publish = client.on_message = client.on_disconnect = None

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        """Send with QoS 1."""
        return int(self._client.publish(topic, payload, qos=1, retain=retain).mid)

    def acknowledge(self, message: Received) -> None:
        """Tell the broker that a message is kept here."""
        self._client.ack(message.mid, 1)

    def _make_client(self) -> Client:
        from paho.mqtt import client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

        session, config = self._session, self._config
        client: Client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            session.client_id,
            protocol=mqtt.MQTTv5,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.max_inflight_messages_set(session.window)
        client.connect_timeout = _CONNECT_S
        if config.tls:
            client.tls_set_context(_tls(config))
        password = None if config.password_file is None else _password(config.password_file)
        client.username_pw_set(session.user, password)
        if session.will is not None:
            client.will_set(*session.will, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(self, client: Client, _data: object, _flags: object, code: Any, properties: Any) -> None:  # noqa: ANN401
        for one in () if code.is_failure else self._subscribe:
            client.subscribe(one, qos=1)
        window = getattr(properties, "ReceiveMaximum", 0xFFFF)
        self._answer.put((code.value, str(code), window))

    def _on_publish(self, _client: Client, _data: object, mid: int, code: Any, _properties: object) -> None:  # noqa: ANN401
        self.events.put(Taken(mid, code.value))

    def _on_message(self, _client: Client, _data: object, message: Any) -> None:  # noqa: ANN401
        self.events.put(Received(message.topic, message.payload, message.mid, bool(message.retain)))

    def _on_disconnect(
        self,
        _client: Client,
        _data: object,
        flags: Any,  # noqa: ANN401
        code: Any,  # noqa: ANN401
        _properties: object,
    ) -> None:
        why, name = str(code), self._session.client_id
        if code.value == _TAKEN_OVER:
            why += f": another one has connected as {name}; stop one of the two"
        elif code.value == _UNSPECIFIED and not flags.is_disconnect_packet_from_server:
            # Paho's word for an end without a word; older brokers take a session over without one, too.
            why = f"no reason given; the network, the broker, or another one that connected as {name}"
        self._answer.put((code.value or 1, why, 0))
        self.events.put(Closed(why))


def retry_wait_s(failures: int, first_s: float, longest_s: float) -> float:
    """Give the wait before the next connection: doubled each time, and half of it random.

    So forty devices do not come back at once.

    Parameters
    ----------
    failures : connections that failed one after the other before this one
    first_s, longest_s : the waits between which it grows
    """
    return min(longest_s, first_s * 2.0 ** min(failures, 20)) * random.uniform(0.5, 1.0)


def load_paho(extra: str) -> None:
    """See that paho-mqtt is there.

    Parameters
    ----------
    extra : of this package, with which whoever needs it gets it

    Raises
    ------
    RuntimeMissingError
        It is not installed.
    """
    try:
        from paho.mqtt import client  # noqa: F401
    except ImportError as error:
        raise RuntimeMissingError(
            f"paho-mqtt is missing ({error}); pip install 'blastcount[{extra}]'"
        ) from error


def _connect_properties(session: Session) -> Any:  # noqa: ANN401  # paho's
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.properties import Properties

    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.ReceiveMaximum = session.window
    if session.keep:
        properties.SessionExpiryInterval = _KEEP_SESSION
    return properties


def _tls(config: BrokerConfig) -> ssl.SSLContext:
    """Make a context that believes the named authority alone, and checks the broker's name."""
    try:
        context = ssl.create_default_context(cafile=None if config.ca_file is None else str(config.ca_file))
        if config.cert_file is not None and config.key_file is not None:
            context.load_cert_chain(str(config.cert_file), str(config.key_file))
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(str(path) for path in (config.ca_file, config.cert_file, config.key_file) if path)
        raise ConfigError(f"{files}: certificates cannot be used: {error}") from error
    return context


def _password(path: Path) -> str:
    try:
        return read_bounded(path, _MAX_PASSWORD_BYTES).decode().strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: the broker's password cannot be read: {error}") from error
