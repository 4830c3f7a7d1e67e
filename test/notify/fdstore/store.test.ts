/** The descriptor store: what is kept, for whom, and who gets it back. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { fstatSync } from "node:fs";
import { join } from "node:path";
import { close, listenStream } from "../../../lib/linux/index.ts";
import { accept } from "../../../lib/linux/sockets/socket.ts";
import { fetchDescriptors } from "../../../lib/notify/index.ts";
import { until } from "../../support/until.ts";
import {
  allGivenBack,
  cleanUp,
  descriptorsOf,
  later,
  newFolder,
  newName,
  newRoot,
  Service,
  shown,
  start,
} from "../support/world.ts";

setDefaultTimeout(60_000);
afterEach(cleanUp);

async function world(settings = "lainos_fdstore_max=8\n") {
  const root = newRoot();
  const socket = join(newFolder(), "notify");
  const daemon = await start(socket, "--root", root);
  const service = new Service(root, newName(), settings);
  const main = await service.process(socket);
  service.notePid(main.pid);
  const fetch = async (name?: string) => {
    const fetched = await fetchDescriptors(
      { service: service.name, ...(name !== undefined && { name }) },
      daemon.store,
    );
    later(() => {
      for (const { fd } of fetched) close(fd);
    });
    return fetched;
  };
  return { root, socket, daemon, service, main, fetch };
}

const names = (fetched: { name: string }[]) => fetched.map(({ name }) => name);

/** Asks at the store's socket from Python, in one line; prints the answer and how many descriptors came. */
const ask = (path: string, request: string) =>
  `c = socket.socket(socket.AF_UNIX); c.connect("${path}"); c.send(b'${request}\\n'); ` +
  `m = socket.recv_fds(c, 65536, 253); answer = (m[0], len(m[1]))`;

test("gives back the same open files, by name, as often as asked, also to a new process", async () => {
  const { daemon, service, main, fetch } = await world();
  await main.tell('m = os.memfd_create("m"); os.write(m, b"kept"); r, w = os.pipe()');
  await main.tell('send(b"FDSTORE=1\\nFDNAME=memory", [m]); send(b"FDSTORE=1", [r, w]); barrier()');
  const inode = Number(await main.tell("answer = os.fstat(m).st_ino"));
  expect(names(await fetch())).toEqual(["memory", "stored", "stored"]);
  const [memory] = await fetch("memory");
  expect(fstatSync(memory?.fd ?? -1)).toMatchObject({ ino: inode, size: 4 });
  expect(shown(daemon.state).find((entry) => entry.service === service.name)?.fds).toBe(3);
  await main.end();
  const next = await service.process(daemon.socket);
  service.notePid(next.pid);
  // Its own needs no name.
  expect(await next.tell(ask(daemon.store, '{"do":"fetch","name":"memory"}'))).toContain(
    `"names":["memory"]}\\n', 1)`,
  );
  await next.tell('send(b"FDSTOREREMOVE=1\\nFDNAME=stored"); barrier()');
  expect(names(await fetch())).toEqual(["memory"]);
  expect(await next.tell(ask(daemon.store, '{"do":"remove"}'))).toContain('"removed":1');
  expect(await fetch()).toEqual([]);
});

test("gives nothing to anybody else but root", async () => {
  const { root, daemon, service, main } = await world();
  await main.tell('send(b"FDSTORE=1", [0]); barrier()');
  const user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const other = new Service(root, newName(), "lainos_fdstore_max=8\n");
  const foreign = await other.process(daemon.socket, user);
  const request = `{"do":"fetch","service":"${service.name}"}`;
  expect(await foreign.tell(ask(daemon.store, request))).toContain(
    `only ${service.name} itself and root get what is kept for it"}\\n', 0)`,
  );
  expect(await foreign.tell(ask(daemon.store, '{"do":"fetch"}'))).toContain(`"names":[]}\\n', 0)`);
  expect(await foreign.tell(ask(daemon.store, '{"do":"remove"}'))).toContain('"removed":0');
  expect(await foreign.tell(ask(daemon.store, "what?"))).toContain("this is no request");
  expect(await foreign.tell(ask(daemon.store, "x".repeat(5000)))).toContain("this is no request");
  // Of the service it may be anybody.
  const own = await service.process(daemon.socket, user);
  expect(await own.tell(ask(daemon.store, '{"do":"fetch"}'))).toContain(
    `"names":["stored"]}\\n', 1)`,
  );
  await expect(fetchDescriptors({}, daemon.store)).rejects.toThrow("the caller is of no service");
});

test("keeps one open file once, as many as the settings say, and none without them", async () => {
  const { daemon, main, fetch } = await world("lainos_fdstore_max=2\n");
  await main.tell("r, w = os.pipe(); d = os.dup(r); other = os.open('/dev/null', 0)");
  await main.tell('send(b"FDSTORE=1", [r, d]); send(b"FDSTORE=1", [r]); barrier()');
  expect(await fetch()).toHaveLength(1);
  await main.tell('send(b"FDSTORE=1", [w, other, other]); barrier()');
  await daemon.logged("lainos_fdstore_max or the total is reached: 2");
  expect(await fetch()).toHaveLength(2);
  const before = descriptorsOf(daemon.child.pid);
  await main.tell('send(b"FDSTORE=1", [other] * 200); send(b"FDSTORE=1", [r] * 200); barrier()');
  // Fewer only if the connection of the fetch was still open.
  await allGivenBack(daemon.child.pid, before);

  const none = await world("");
  await none.main.tell('send(b"FDSTORE=1", [0]); barrier()');
  expect(await none.fetch()).toEqual([]);
});

test("drops what hangs up, but not with FDPOLL=0, and changes nothing about the open file", async () => {
  const { daemon, main, fetch } = await world();
  await main.tell("a, b = socket.socketpair(); c, d = socket.socketpair()");
  await main.tell('send(b"FDSTORE=1\\nFDNAME=polled", [a.fileno()]); barrier()');
  await main.tell('send(b"FDSTORE=1\\nFDNAME=kept\\nFDPOLL=0", [c.fileno()]); barrier()');
  await main.tell(
    'f = os.open("/etc/passwd", 0); send(b"FDSTORE=1\\nFDNAME=file", [f]); barrier()',
  );
  expect(names(await fetch())).toEqual(["polled", "kept", "file"]);
  // O_ASYNC or O_NONBLOCK would be the service's too.
  expect(await main.tell("import fcntl; answer = fcntl.fcntl(a, fcntl.F_GETFL) & 0o24000")).toBe(
    "0",
  );
  await main.tell("b.close(); d.close()");
  await daemon.logged("the descriptor polled hung up, and is kept no more");
  expect(names(await fetch())).toEqual(["kept", "file"]);
});

test("gives more than one message holds", async () => {
  const { main, fetch } = await world("lainos_fdstore_max=300\n");
  await main.tell('fds = [os.open("/dev/null", 0) for _ in range(250)]');
  await main.tell('send(b"FDSTORE=1\\nFDNAME=" + b"n" * 255, fds); barrier()');
  const fetched = await fetch();
  expect(fetched).toHaveLength(250);
  expect(fetched[249]?.name).toBe("n".repeat(255));
});

test("a client is told in words when nobody answers", async () => {
  const path = join(newFolder(), "store");
  await expect(fetchDescriptors({}, path)).rejects.toThrow("no such file");
  const listener = listenStream(path);
  later(() => close(listener));
  const asked = fetchDescriptors({}, path);
  const connection = await until(
    "a client connects",
    () => accept(listener),
    (fd) => fd !== undefined,
  );
  if (connection !== undefined) close(connection);
  await expect(asked).rejects.toThrow(/closed|ECONNRESET/);
});

test("a connection that says nothing holds up nobody, and a user has only so many", async () => {
  const { daemon, service, main, fetch } = await world();
  await main.tell('send(b"FDSTORE=1", [0]); barrier()');
  const user = await service.process(daemon.socket, ["setpriv", "--reuid=65534", "--clear-groups"]);
  await user.tell("held = [socket.socket(socket.AF_UNIX) for _ in range(40)]");
  await user.tell(`[h.connect("${daemon.store}") for h in held[:16]]`);
  await user.tell(`late = socket.socket(socket.AF_UNIX); late.connect("${daemon.store}")`);
  // The end of the file: it was closed at once.
  expect(await user.tell("answer = late.recv(10)")).toBe("b''");
  expect(await fetch()).toHaveLength(1);
});
