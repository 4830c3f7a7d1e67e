/** A daemon's side of what works outside, with the real one at the other end of the pipes. */
import { expect, test } from "bun:test";
import { writeSync } from "node:fs";
import { join } from "node:path";
import { Outside } from "../../lib/cli/outside.ts";
import { close, socketPair } from "../../lib/linux/index.ts";
import { run } from "../files/run.ts";

const OUTSIDE = join(import.meta.dir, "../../files/usr/libexec/lainos/outside");
const MODULE = join(import.meta.dir, "../../lib/cli/outside.ts");

/** A light, and services of which one takes a second to be restarted; pipes as the sandbox makes them. */
const SETUP = `
mount -t tmpfs run /run; mount -t tmpfs sys /sys; mount -t tmpfs own /usr/local/sbin
mkdir -p /sys/devices/light /sys/class/leds /etc/conf.d /run/openrc/daemons/slow
echo 0 >/sys/devices/light/brightness; echo 1000 >/sys/devices/light/max_brightness
ln -s ../../devices/light /sys/class/leds/light
mount -t tmpfs conf /etc/conf.d; echo lainos_watchdog=restart >/etc/conf.d/slow
echo pidfile=/run/slow.pid >/run/openrc/daemons/slow/001; echo 4711 >/run/slow.pid
printf '#!/bin/sh\\nsleep 1; echo x >>/run/restarts\\n' >/usr/local/sbin/rc-service
chmod 755 /usr/local/sbin/rc-service
start()
{
  mkfifo /run/ask /run/answer
  eval "exec $2<>/run/ask $3<>/run/answer"
  eval "{ \\"$outside\\" $1 <&5 5<&- $2>&- $3>&- & } 5</run/ask >/run/answer"
  eval "exec $2>/run/ask $3</run/answer"
  rm /run/ask /run/answer
}
outside=$1; start programs 8 9; start services 6 7
SERVICES=$! LAINOS_OUTSIDE="programs:8:9 services:6:7" bun -e "$2"`;

/** Runs a program that has `programs` and `services`; what it printed, as JSON. */
async function daemon(program: string): Promise<unknown> {
  const text = `import { outsideFor } from ${JSON.stringify(MODULE)};
const programs = outsideFor("programs"), services = outsideFor("services");
${program}
process.exit(0);`;
  const words = ["unshare", "--mount", "sh", "-euc", SETUP, "sh", OUTSIDE, text];
  const done = await run(words);
  expect({ exitCode: done.exitCode, stderr: done.stderr }).toEqual({ exitCode: 0, stderr: "" });
  return JSON.parse(done.stdout);
}

test("more than are done at once wait for their turn, in order, and too many are refused", async () => {
  const found = await daemon(`
const asked = Array.from({ length: 200 }, (_, i) => programs.ask("brightness", "leds", String(i), "light"));
const ended = await Promise.allSettled(asked);
const done = ended.filter(({ value }) => value?.status === 0).length;
const refused = ended.filter(({ reason }) => /orders wait/.test(reason?.message)).length;
const again = await programs.ask("brightness", "leds", "7", "light");
const value = (await Bun.file("/sys/devices/light/brightness").text()).trim();
console.log(JSON.stringify({ done, refused, again: again.status, value }));`);
  expect(found).toEqual({ done: 136, refused: 64, again: 0, value: "7" });
}, 30_000);

test("what is asked and waited for is answered while others are under way", async () => {
  const found = await daemon(`
const slow = Array.from({ length: 9 }, () => services.ask("restart", "slow"));
const began = performance.now();
const pids = services.doNow("pids", "slow");
const took = performance.now() - began;
const statuses = (await Promise.all(slow)).map(({ status }) => status);
let refusal = "";
try { services.doNow("pids", "../x"); } catch (error) { refusal = error.message; }
const restarts = (await Bun.file("/run/restarts").text()).length / 2;
console.log(JSON.stringify({ pids, soon: took < 900, statuses, refusal, restarts }));`);
  expect(found).toEqual({
    pids: "4711",
    soon: true,
    statuses: Array(9).fill(0),
    refusal: "pids ../x: refused",
    restarts: 9,
  });
}, 30_000);

test("an order that would be two, or that a pipe does not take as a whole, is not given", async () => {
  const found = await daemon(`
const refusals = [];
for (const word of ["a\\n2 restart slow", "x".repeat(5000)]) {
  try { await services.ask("restart", word); } catch (error) { refusals.push(error.message); }
}
const after = services.doNow("pids", "slow");
console.log(JSON.stringify({ refusals, after }));`);
  const refusal = "the order restart has a line break in it or is too long";
  expect(found).toEqual({ refusals: [refusal, refusal], after: "4711" });
}, 30_000);

/** The same with less patience than ten seconds. */
const impatient = `import { Outside } from ${JSON.stringify(MODULE)};
const asking = 6, answers = 7, helper = Number(process.env.SERVICES);
const outside = new Outside(asking, answers, 300);
const caught = (act) => { try { return act(); } catch (error) { return [error.code, error.message]; } };
const until = async (act) => { for (let left = 500; left > 0 && !act(); left--) await Bun.sleep(10); };`;

test("what does not answer is given up, at once from then on, until it answers again", async () => {
  const found = await daemon(`${impatient}
process.kill(helper, "SIGSTOP");
const first = caught(() => outside.doNow("pids", "slow"));
// They would take five minutes.
const next = Array.from({ length: 1000 }, () => caught(() => outside.doNow("pids", "../x"))[0]);
process.kill(helper, "SIGCONT");
let again;
await until(() => (again = caught(() => outside.doNow("pids", "slow"))) === "4711");
console.log(JSON.stringify({ first, next: [...new Set(next)], again }));`);
  expect(found).toEqual({
    first: ["ETIMEDOUT", "pids: what works outside of the sandbox does not answer"],
    next: ["ETIMEDOUT"],
    again: "4711",
  });
}, 30_000);

test("a flood of signals is no reason to wait longer", async () => {
  const found = await daemon(`${impatient}
process.kill(helper, "SIGSTOP");
process.on("SIGUSR1", () => {});
const flood = Bun.spawn(["sh", "-c", \`while kill -USR1 \${process.pid}; do sleep 0.05; done\`], { stderr: "ignore" });
await Bun.sleep(200);
const code = caught(() => outside.doNow("pids", "slow"))[0];
flood.kill();
process.kill(helper, "SIGCONT");
console.log(JSON.stringify(code));`);
  expect(found).toBe("ETIMEDOUT");
}, 10_000);

test("an order with a limit is given up, and one that waits for its turn is not given any more", async () => {
  const found = await daemon(`
const slow = Array.from({ length: 8 }, () => services.ask("restart", "slow"));
const late = services.askWithin(200, "restart", "slow").catch((error) => error.code);
const code = await late;
await Promise.all(slow);
const after = await services.ask("restart", "slow");
const restarts = (await Bun.file("/run/restarts").text()).length / 2;
console.log(JSON.stringify({ code, after: after.status, restarts }));`);
  expect(found).toEqual({ code: "ETIMEDOUT", after: 0, restarts: 9 });
}, 30_000);

test("an error has the name of its errno, where what failed has said it", async () => {
  const found = await daemon(`${impatient}
const lights = new Outside(8, 9);
const set = (value) => caught(() => lights.doNow("brightness", "leds", value, "light"));
const codes = [set("7"), set("1001")[0]];
Bun.spawnSync(["mount", "-o", "remount,ro", "/sys"]);
codes.push(set("7")[0]);
process.kill(helper, "SIGKILL");
await until(() => caught(() => outside.doNow("pids", "slow"))[0] === "EPIPE");
codes.push(caught(() => outside.doNow("pids", "slow"))[0]);
console.log(JSON.stringify(codes));`);
  expect(found).toEqual(["", null, "EROFS", "EPIPE"]);
}, 30_000);

test("all that wait for their turn are told when orders can no longer be given", async () => {
  const [asking, orders] = socketPair();
  const [answers, answering] = socketPair();
  const outside = new Outside(asking, answers);
  const asked = Array.from({ length: 20 }, () => outside.ask("restart", "slow"));
  close(orders);
  // Those under way are answered by their own processes, which outlive the one that reads orders.
  for (let id = 1; id <= 8; id++) writeSync(answering, `${id} 0 \n`);
  const ended = await Promise.allSettled(asked);
  for (const fd of [asking, answers, answering]) close(fd);
  const hasEnded = "what works outside of the sandbox has ended";
  expect(ended.map((one) => (one.status === "fulfilled" ? "done" : one.reason.message))).toEqual([
    ...Array(8).fill("done"),
    ...Array(12).fill(hasEnded),
  ]);
});

test("all that wait for their turn are told when what works outside has ended", async () => {
  const found = await daemon(`
const slow = Array.from({ length: 20 }, () => services.ask("restart", "slow"));
process.kill(Number(process.env.SERVICES), "SIGKILL");
const ended = await Promise.allSettled(slow);
console.log(JSON.stringify(ended.slice(8).map(({ reason }) => reason?.message ?? "done")));`);
  expect(found).toEqual(Array(12).fill("what works outside of the sandbox has ended"));
}, 30_000);
