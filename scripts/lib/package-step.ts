/** Building protocol7-core as one of the steps that a person is shown. */
import { buildPackage, type PackageOptions } from "../package.ts";
import type { Reporter } from "./progress.ts";

/** The step that builds the package, where it is not built already. */
export function buildPackageStep(
  report: Reporter,
  signal: AbortSignal,
  options: PackageOptions = {},
): Promise<string> {
  return report.step("protocol7-core's package", async (detail) => {
    const { packageFile } = await buildPackage({ ...options, onStep: detail });
    signal.throwIfAborted();
    return packageFile;
  });
}
