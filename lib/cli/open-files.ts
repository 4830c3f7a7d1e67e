/** The limit of open files, which Bun raises to the hard one as it starts. */
import { openFilesLimit, processStatus, setOpenFilesLimit } from "../linux/index.ts";

/** The kernel's own soft limit of open files (INR_OPEN_CUR), for when the parent's cannot be read. */
const USUAL_OPEN_FILES = 1024;

/**
 * Gives a command that is about to be executed the soft limit that our parent has, and not the one
 * that Bun made of it: programs that use select(2) or close every descriptor depend on it.
 */
export function restoreOpenFilesLimit(): void {
  const own = openFilesLimit(process.pid);
  if (!own) return;
  const parent = processStatus(process.pid)?.parent ?? 0;
  const soft = openFilesLimit(parent)?.soft ?? USUAL_OPEN_FILES;
  if (soft < own.soft) setOpenFilesLimit({ soft, hard: own.hard });
}
