/** python3-varlink, a client that is not ours. Debian has it from 13 on, and it runs on any Python 3. */
import { join } from "node:path";
import { unpackedPackages } from "../debian-packages.ts";

/**
 * The folder for $PYTHONPATH.
 *
 * @throws {Error} if apt cannot fetch it
 */
export async function pythonVarlink(): Promise<string> {
  const path = await unpackedPackages("trixie", ["python3-varlink"]);
  return join(path, "usr/lib/python3/dist-packages");
}
