/** /etc/nftables.conf with real packets: a firewall, a peer before it and one behind, in namespaces. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../scripts/host.ts";

const RULES = resolve(import.meta.dir, "../../airootfs/etc/nftables.conf");

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

  test("SSH comes in", async () => {
    expect(await connect(OUTSIDE, "10.77.1.1", 22)).toBe("hello");
  });

  test("nothing else comes in, and gets no answer", async () => {
    expect(await connect(OUTSIDE, "10.77.1.1", 80)).toBe("TimeoutError");
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
