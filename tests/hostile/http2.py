"""HTTP/2 frames by hand (RFC 9113, RFC 7541), also those that no decent client would send."""

import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
INITIAL_WINDOW_SIZE = 4
SERVICE = "/v2.KeyManagementService/"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _integer(value, prefix_bits, first=0):
    """RFC 7541, section 5.1."""
    most = (1 << prefix_bits) - 1
    if value < most:
        return bytes((first | value,))
    out = bytearray((first | most,))
    value -= most
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    out.append(value)
    return bytes(out)


def header(name, value):
    """A literal without indexing and without Huffman code (section 6.2.2): the same bytes at any time."""
    name, value = (text.encode() if isinstance(text, str) else text for text in (name, value))
    return b"\0" + _integer(len(name), 7) + name + _integer(len(value), 7) + value


def indexed_header(name, value):
    """One that goes into the table of the receiver (section 6.2.1)."""
    return b"\x40" + header(name, value)[1:]


def reference(index):
    return _integer(index, 7, 0x80)


def request_headers(method="Status", timeout=None, content_type="application/grpc", path=None, more=b""):
    block = (header(":method", "POST") + header(":scheme", "http") + header(":path", path or SERVICE + method)
             + header(":authority", "localhost") + header("te", "trailers") + header("content-type", content_type))
    if timeout is not None:
        block += header("grpc-timeout", timeout)
    return block + more


def message(payload, compressed=0, length=None):
    return struct.pack(">BI", compressed, len(payload) if length is None else length) + payload


def _varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out) + bytes((value,))


def field(number, value):
    """A length-delimited field of protobuf."""
    value = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def fields(data):
    """The length-delimited fields of a message, by number; the last one of each."""
    found, at = {}, 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        number = varint() >> 3
        size = varint()
        found[number] = data[at:at + size]
        at += size
    return found


def decrypt_request(ciphertext, key_id, annotations=(), uid="hostile"):
    return (field(1, ciphertext) + field(2, uid) + field(3, key_id)
            + b"".join(field(4, field(1, name) + field(2, value)) for name, value in annotations))


def encrypt_request(plaintext, uid="hostile"):
    return field(1, plaintext) + field(2, uid)


class Answer:
    """What came on one stream."""

    def __init__(self):
        self.blocks = []  # header blocks as they came: with a table of no size, all of them literals
        self.data = b""
        self.reset = None
        self.over = False

    def grpc_status(self):
        """None without one."""
        headers = b"".join(self.blocks)
        at = headers.find(b"grpc-status")
        if at < 0:
            return None
        at += len(b"grpc-status")
        return int(headers[at + 1:at + 1 + headers[at]])

    def grpc_message(self):
        """The protobuf in an answer that is one."""
        size = int.from_bytes(self.data[1:5], "big")
        assert self.data[0] == 0 and len(self.data) == 5 + size, self.data
        return fields(self.data[5:])


NO_TABLE = struct.pack(">HI", 1, 0)  # SETTINGS_HEADER_TABLE_SIZE


class Peer:
    """A connection that sends what it is told, and remembers what came. Blocking, unless told otherwise."""

    def __init__(self, address, preface=True, settings=NO_TABLE, timeout=10):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.socket.connect(address)
        self.answers = {}
        self.goaway = None
        self.settings = {}
        self.closed = False
        self._in = b""
        self._next_stream = 1
        if preface:
            self.send(PREFACE + frame(SETTINGS, 0, 0, settings))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        """Whether kekd still took it."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            self.closed = True
            return False
        except TimeoutError:
            return False

    def try_send(self, data):
        """As send, but for no longer than a second: kekd may have stopped to read, as it has the right to."""
        self.socket.settimeout(1)
        return self.send(data)

    def stream(self):
        stream = self._next_stream
        self._next_stream += 2
        return stream

    def begin(self, method, payload, **options):
        """Sends a call; returns its stream."""
        stream = self.stream()
        body = message(payload)
        parts = [body[at:at + 16384] for at in range(0, len(body), 16384)]
        self.send(frame(HEADERS, END_HEADERS, stream, request_headers(method, **options))
                  + b"".join(frame(DATA, 0, stream, part) for part in parts[:-1])
                  + frame(DATA, END_STREAM, stream, parts[-1]))
        return stream

    def receive(self, timeout=10):
        """One read's worth of frames; False at the end of the connection or of the time."""
        self.socket.settimeout(max(timeout, 0.0001))
        try:
            data = self.socket.recv(1 << 16)
        except (TimeoutError, BlockingIOError):
            return False
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return False
        self._in += data
        at = 0
        while len(self._in) - at >= 9:
            size = int.from_bytes(self._in[at:at + 3], "big")
            if len(self._in) - at < 9 + size:
                break
            self._take(self._in[at + 3], self._in[at + 4], int.from_bytes(self._in[at + 5:at + 9], "big"),
                       self._in[at + 9:at + 9 + size])
            at += 9 + size
        self._in = self._in[at:]
        return True

    def _take(self, kind, flags, stream, payload):
        if kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                self.settings[int.from_bytes(payload[at:at + 2], "big")] = int.from_bytes(payload[at + 2:at + 6], "big")
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        elif kind in (DATA, HEADERS, RST_STREAM):
            answer = self.answers.setdefault(stream, Answer())
            if kind == DATA:
                answer.data += payload
                self.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", max(1, len(payload)))))
            elif kind == HEADERS:
                answer.blocks.append(payload)
            else:
                answer.reset = int.from_bytes(payload, "big")
            answer.over = answer.over or kind == RST_STREAM or bool(flags & END_STREAM)

    def drain(self, seconds):
        """Takes what comes within the time, or until the connection ends."""
        deadline = time.monotonic() + seconds
        while not self.closed and time.monotonic() < deadline:
            self.receive(deadline - time.monotonic())

    def wait(self, stream, seconds=10):
        """The answer on a stream; over is False if it did not come in time."""
        deadline = time.monotonic() + seconds
        answer = self.answers.setdefault(stream, Answer())
        while not answer.over and not self.closed and time.monotonic() < deadline:
            self.receive(deadline - time.monotonic())
        return answer

    def ends_within(self, seconds):
        self.drain(seconds)
        return self.closed
