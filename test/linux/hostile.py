# Sends a file descriptor whose last close(2) waits: a TCP socket with data that nobody reads, and
# SO_LINGER. The peer stays open until standard input ends, and resets the connection then.
#
# hostile.py SOCKET KIND MESSAGE [COUNT]: KIND is dgram or stream; it sends no more once some were refused
import array, os, resource, socket, struct, sys, threading

most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
path, kind, message = sys.argv[1:4]
count = int(sys.argv[4]) if len(sys.argv) > 4 else 1
listener = socket.create_server(("127.0.0.1", 0))
# Little memory each, so that there can be hundreds.
listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
peers = []


def lingering():
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client.connect(listener.getsockname())
    peer, _ = listener.accept()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peers.append(peer)
    client.setblocking(False)
    try:
        while True:
            client.send(b"x" * 65536)
    except BlockingIOError:
        pass
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 600))
    return client


target = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if kind == "dgram" else socket.SOCK_STREAM)
target.connect(path)
sent = refused = 0
while sent + refused < count and refused < 50:
    hostile = lingering()
    rights = array.array("i", [hostile.fileno()])
    try:
        target.sendmsg([message.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        sent += 1
    except PermissionError:
        # The receiver takes none for now (SO_PASSRIGHTS).
        hostile.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
        refused += 1
    # The last of them is the receiver's now, or this one's, if the receiver was quicker.
    threading.Thread(target=hostile.close, daemon=True).start()
print("sent", sent, flush=True)
sys.stdin.read()
for peer in peers:
    peer.close()
os._exit(0)
