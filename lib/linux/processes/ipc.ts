/** System V shared memory, semaphores and message queues; see sysvipc(7) and /proc/sysvipc in proc(5). */
import { readFileSync } from "node:fs";
import { check, hasCode } from "../ffi/errors.ts";
import { libc } from "../ffi/libc.ts";

const IPC_RMID = 0;

export type IpcKind = "shm" | "sem" | "msg";
export const IPC_KINDS: readonly IpcKind[] = ["shm", "sem", "msg"];

/** One object of this IPC namespace. */
export interface IpcObject {
  kind: IpcKind;
  id: number;
  /** Whose it is. */
  uid: number;
  /** How many processes have it mapped; 0 for what is not shared memory. */
  attached: number;
}

/** Every object of a kind; none where the kernel has no System V IPC. */
export function ipcObjects(kind: IpcKind): IpcObject[] {
  let text: string;
  try {
    text = readFileSync(`/proc/sysvipc/${kind}`, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
  const [head = "", ...lines] = text.split("\n");
  const names = head.trim().split(/\s+/);
  const idName = { shm: "shmid", sem: "semid", msg: "msqid" }[kind];
  return lines
    .filter((line) => line !== "")
    .map((line) => {
      const fields = line.trim().split(/\s+/);
      const field = (name: string) => Number(fields[names.indexOf(name)] ?? 0);
      return { kind, id: field(idName), uid: field("uid"), attached: field("nattch") };
    });
}

/**
 * Removes an object; shared memory stays for those who have it mapped, as IPC_RMID in shmctl(2) says.
 *
 * @throws {SystemError} EINVAL or EIDRM if it is gone already
 */
export function removeIpcObject({ kind, id }: IpcObject): void {
  const remove = {
    shm: () => libc.shmctl(id, IPC_RMID, null),
    sem: () => libc.semctl(id, 0, IPC_RMID),
    msg: () => libc.msgctl(id, IPC_RMID, null),
  };
  check(remove[kind](), `${kind}ctl IPC_RMID`, `id ${id}`);
}
