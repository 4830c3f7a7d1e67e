/** /etc/nftables.conf with real packets: a firewall, a peer before it and one behind, in namespaces. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../scripts/host.ts";

const TOP = resolve(import.meta.dir, "../..");
const RULES = resolve(TOP, "airootfs/etc/nftables.conf");

/**
 * Starts the service's script in the firewall's namespace, with OpenRC's words for messages, over an
 * /etc of its own that has the medium's rules, and these services in a runlevel.
 */
async function startService(...services: string[]): Promise<void> {
  const script = `
    mkdir -p /mnt
    mount -t tmpfs tmpfs /mnt
    mkdir /mnt/upper /mnt/work
    mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work overlay /etc
    rm -rf /etc/runlevels
    mkdir -p /etc/runlevels/default /etc/init.d
    cp -r ${TOP}/airootfs/etc/nftables.conf ${TOP}/airootfs/etc/nftables.d /etc
    for name in ${services.join(" ")}; do ln -s /etc/init.d/$name /etc/runlevels/default/$name; done
    ebegin() { :; }
    eend() { return "$1"; }
    eerror() { echo "$*" >&2; }
    . ${TOP}/openrc/init.d/nftables
    start_pre
    start`;
  await must`ip netns exec ${WALL} unshare --mount sh -euc ${script}`;
}

/** Names of network namespaces: the firewall's, one outside of it, and one inside, that it may route for. */
const [WALL, OUTSIDE, INSIDE] = ["wall", "outside", "inside"].map(
  (name) => `p7-${name}-${process.pid}`,
) as [string, string, string];

const run = $({ quiet: true, nothrow: true });
const must = $({ quiet: true });

/** Reads a line from whoever connects and answers with another. */
const SERVER = `
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("", int(sys.argv[1])))
listener.listen()
print("ready", flush=True)
while True:
    peer, _ = listener.accept()
    peer.sendall(b"hello\\n")
    peer.close()
`;

/** Ends with "hello", or with the reason why not. */
const CLIENT = `
import socket, sys
try:
    peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), 1.5)
    print(peer.recv(100).decode().strip())
except OSError as error:
    print(type(error).__name__)
`;

const servers: Bun.Subprocess[] = [];

async function serve(namespace: string, port: number): Promise<void> {
  const child = Bun.spawn(
    ["ip", "netns", "exec", namespace, "python3", "-c", SERVER, String(port)],
    { stdout: "pipe", stderr: "inherit" },
  );
  servers.push(child);
  const { value } = await child.stdout.getReader().read();
  expect(new TextDecoder().decode(value)).toStartWith("ready");
}

async function connect(namespace: string, address: string, port: number): Promise<string> {
  const done = await run`ip netns exec ${namespace} python3 -c ${CLIENT} ${address} ${port}`;
  return done.stdout.trim();
}

/** How many of so many echo requests were answered. */
async function pings(namespace: string, address: string, count: number, interval: number) {
  const words = ["-q", "-c", count, "-i", interval, "-W", 1, address];
  const done = await run`ip netns exec ${namespace} ping ${words}`;
  return Number(/(\d+) received/.exec(done.stdout)?.[1]);
}

beforeAll(async () => {
  await ensureHostPackages(["ip", "nft", "ping", "python3"]);
  for (const name of [WALL, OUTSIDE, INSIDE]) {
    await must`ip netns add ${name}`;
    await must`ip -n ${name} link set lo up`;
  }
  for (const [name, net] of [
    [OUTSIDE, 1],
    [INSIDE, 2],
  ] as const) {
    await must`ip -n ${WALL} link add to${net} type veth peer name wall netns ${name}`;
    await must`ip -n ${WALL} address add ${`10.77.${net}.1/24`} dev to${net}`;
    await must`ip -n ${WALL} link set to${net} up`;
    await must`ip -n ${name} address add ${`10.77.${net}.2/24`} dev wall`;
    await must`ip -n ${name} link set wall up`;
    await must`ip -n ${name} route add default via ${`10.77.${net}.1`}`;
  }
  await must`ip netns exec ${WALL} sysctl -qw net.ipv4.ip_forward=1`;
  for (const port of [22, 80]) await serve(WALL, port);
  for (const name of [OUTSIDE, INSIDE]) await serve(name, 80);
});

afterAll(async () => {
  for (const server of servers) {
    server.kill("SIGKILL");
    await server.exited;
  }
  for (const name of [WALL, OUTSIDE, INSIDE]) await run`ip netns delete ${name}`;
});

test("without the rules everything gets through", async () => {
  expect(await connect(OUTSIDE, "10.77.1.1", 22)).toBe("hello");
  expect(await connect(OUTSIDE, "10.77.1.1", 80)).toBe("hello");
  expect(await connect(OUTSIDE, "10.77.2.2", 80)).toBe("hello");
  expect(await pings(OUTSIDE, "10.77.1.1", 60, 0.002)).toBe(60);
});

describe("with the rules", () => {
  beforeAll(async () => {
    await must`ip netns exec ${WALL} nft --file ${RULES}`;
  });
  afterAll(async () => {
    await must`ip netns exec ${WALL} nft flush ruleset`;
  });

  test("nothing comes in, and gets no answer", async () => {
    for (const port of [22, 80]) {
      expect(await connect(OUTSIDE, "10.77.1.1", port)).toBe("TimeoutError");
    }
  });

  test("what goes out is answered", async () => {
    expect(await connect(WALL, "10.77.1.2", 80)).toBe("hello");
  });

  test("the machine speaks to itself", async () => {
    expect(await connect(WALL, "127.0.0.1", 80)).toBe("hello");
  });

  test("nothing is passed on", async () => {
    expect(await connect(OUTSIDE, "10.77.2.2", 80)).toBe("TimeoutError");
    expect(await connect(INSIDE, "10.77.1.2", 80)).toBe("TimeoutError");
  });

  test("a ping is answered, and a flood of them in part", async () => {
    expect(await pings(OUTSIDE, "10.77.1.1", 2, 0.2)).toBe(2);
    const answered = await pings(OUTSIDE, "10.77.1.1", 100, 0.002);
    expect(answered).toBeGreaterThan(10);
    expect(answered).toBeLessThan(60);
  });

  test("a second load replaces the first", async () => {
    await must`ip netns exec ${WALL} nft --file ${RULES}`;
    const { stdout } = await must`ip netns exec ${WALL} nft list tables`;
    expect(stdout).toBe("table inet lainos\n");
  });
});

describe("by the service", () => {
  afterAll(async () => {
    await must`ip netns exec ${WALL} nft flush ruleset`;
  });

  test("SSH comes in where sshd is in a runlevel, and nothing else does", async () => {
    await startService("dbus", "sshd");
    expect(await connect(OUTSIDE, "10.77.1.1", 22)).toBe("hello");
    expect(await connect(OUTSIDE, "10.77.1.1", 80)).toBe("TimeoutError");
  });

  test("SSH does not where it is in none, also after it was", async () => {
    await startService("dbus");
    expect(await connect(OUTSIDE, "10.77.1.1", 22)).toBe("TimeoutError");
  });

  test("rules of one's own without our table start too", async () => {
    await must`ip netns exec ${WALL} nft flush ruleset`;
    await must`ip netns exec ${WALL} nft --check --file ${resolve(TOP, "airootfs/etc/nftables.d/sshd.nft")}`;
  });
});
