/** The machine's id on roots that can be written and such that cannot, and whether others read it. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { ROOT, run } from "./run.ts";

const SCRIPT = join(ROOT, "openrc/init.d/lainos-machine-id");

/** Who reads the id: libsystemd's sd_id128_get_machine(3), and libdbus where its tool is there. */
const READERS = [
  "systemd-id128 machine-id",
  ...(Bun.which("dbus-uuidgen") ? ["dbus-uuidgen --get"] : []),
];

/**
 * Runs a script as root of a mount namespace with a /run, a /var/lib/dbus and an /etc of its own,
 * the last as `prepare` makes it of $etc, an overlay of this machine's. What openrc-run gives the
 * service are functions that print.
 */
async function inNamespace(prepare: string, script: string) {
  const setup = `
    mount -t tmpfs tmpfs /run
    mkdir /run/lower /run/test
    mount -t tmpfs tmpfs /run/test
    mkdir /run/test/upper /run/test/work /run/test/dbus
    mount --bind /run/test/dbus /var/lib/dbus 2>/dev/null || :
    mount --bind /etc /run/lower
    etc="mount -t overlay -o lowerdir=/run/lower,upperdir=/run/test/upper,workdir=/run/test/work overlay /etc"
    ebegin() { :; }
    eend() { [ "$1" -eq 0 ] || echo "failed: $2"; return "$1"; }
    eerror() { echo "error: $*"; }
    ewarn() { echo "warning: $*"; }
    checkpath() { for last; do :; done; mkdir -p "$last"; }
    readers() { ${READERS.map((reader) => `${reader}`).join("; ")}; }
    is_mount() { grep -q ' /etc/machine-id ' /proc/self/mountinfo && echo mount || echo file; }
    ${prepare}
    . ${SCRIPT}
    ${script}`;
  return run(["unshare", "--mount", "sh", "-euc", setup]);
}

const PREPARED = `
  start
  cat /etc/machine-id; stat -c %a /etc/machine-id; is_mount; readers
  start
  cat /etc/machine-id; readers`;

/** What PREPARED prints of one id, which is of this boot and stays at a restart. */
function expectOneId(stdout: string, kind: "file" | "mount"): void {
  const [id = "", ...others] = stdout.trimEnd().split("\n");
  expect(id).toMatch(/^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$/);
  const read = READERS.map(() => id);
  expect(others).toEqual(["444", kind, ...read, id, ...read]);
}

test("a root that can be written has it in the file, by rename, whatever was there", async () => {
  for (const before of ["uninitialized", "", "00000000000000000000000000000000", "ABC"]) {
    const done = await inNamespace(
      `$etc; rm -f /etc/machine-id; printf '${before}' > /etc/machine-id; ln /etc/machine-id /etc/old-id`,
      `${PREPARED}
      cmp -s /etc/machine-id /etc/old-id && echo overwritten || :`,
    );
    expect(done).toMatchObject({ stderr: "", exitCode: 0 });
    expectOneId(done.stdout, "file");
  }
});

test("an overlay root has it in its upper layer, and the lower one keeps what it had", async () => {
  const done = await inNamespace(
    "$etc",
    `before=$(cat /run/lower/machine-id 2>/dev/null || :)
    ${PREPARED}
    [ "$(cat /run/lower/machine-id 2>/dev/null || :)" = "$before" ]
    [ "$(cat /run/test/upper/machine-id)" = "$(cat /etc/machine-id)" ]`,
  );
  expect(done).toMatchObject({ stderr: "", exitCode: 0 });
  expectOneId(done.stdout, "file");
});

test("a read-only root has it in a mount over the file, which cannot be written either", async () => {
  const readOnly = "$etc; echo uninitialized > /etc/machine-id; mount -o remount,bind,ro /etc";
  const done = await inNamespace(
    readOnly,
    `${PREPARED}
    ! (echo x > /etc/machine-id) 2>/dev/null`,
  );
  expect(done).toMatchObject({ stderr: "", exitCode: 0 });
  expectOneId(done.stdout, "mount");
});

test("a read-only root without the file is an error that says what to do", async () => {
  const done = await inNamespace(
    "$etc; rm -f /etc/machine-id; mount -o remount,bind,ro /etc",
    "start && exit 9 || [ ! -e /etc/machine-id ]",
  );
  expect(done).toEqual({
    stdout:
      "error: /etc cannot be written and has no machine-id to mount over: make an empty one\n" +
      "failed: /etc/machine-id cannot be set\n",
    stderr: "",
    exitCode: 0,
  });
});

test("a persistent id is kept if it is one, and libdbus reads no other", async () => {
  const id = "0123456789abcdef0123456789abcdef";
  const done = await inNamespace(
    `$etc; rm -f /etc/machine-id; echo ${id} > /etc/machine-id
    [ ! -d /var/lib/dbus ] || echo ${"f".repeat(32)} > /var/lib/dbus/machine-id
    lainos_machine_id=persistent`,
    "start; cat /etc/machine-id; readers",
  );
  expect(done).toEqual({
    stdout: `${[id, ...READERS.map(() => id)].join("\n")}\n`,
    stderr: "",
    exitCode: 0,
  });
});

test("a link in the place of a new file is not written through", async () => {
  const links = `mkdir -p /run/lainos; echo kept >/run/victim
    ln -s /run/victim /run/lainos/machine-id.new; ln -s /run/victim /run/machine-id.new`;
  const readOnly = "$etc; echo uninitialized > /etc/machine-id; mount -o remount,bind,ro /etc";
  const show = "cat /run/victim; stat -c %F /run/lainos/machine-id /run/machine-id; is_mount";
  const done = await inNamespace(`${links}\n${readOnly}`, `start\n${show}`);
  expect(done).toEqual({
    stdout: "kept\nregular file\nregular file\nmount\n",
    stderr: "",
    exitCode: 0,
  });
});
