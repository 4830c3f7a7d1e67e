/** Signatures by GnuPG, with the caller's own keys. */
import { rename, rm } from "node:fs/promises";
import { $ } from "zx";
import { HostError } from "./host.ts";

/** @throws HostError where there is no secret key of that name. */
export async function checkKey(key: string): Promise<void> {
  const done = await $({ nothrow: true, quiet: true })`gpg --batch --list-secret-keys ${key}`;
  if (done.exitCode !== 0) {
    throw new HostError(
      `gpg has no secret key ${key}: see gpg --list-secret-keys, or leave out --sign`,
    );
  }
}

/** Writes FILE.sig, a detached signature, by rename. @throws HostError with gpg's last words. */
export async function signFile(file: string, key: string, signal?: AbortSignal): Promise<void> {
  const fresh = `${file}.sig.new`;
  const words = ["--batch", "--yes", "--local-user", key, "--output", fresh];
  const gpg = $({ nothrow: true, quiet: true, ...(signal && { signal }) });
  const done = await gpg`gpg ${words} --detach-sign ${file}`;
  signal?.throwIfAborted();
  if (done.exitCode !== 0) {
    await rm(fresh, { force: true });
    throw new HostError(`gpg cannot sign ${file}: ${done.stderr.trim().split("\n").at(-1)}`);
  }
  await rename(fresh, `${file}.sig`);
}
