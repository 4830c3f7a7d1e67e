/** The order of the folders inside of lib's domains, which `bun run check` holds. */
import { dirname } from "node:path";

/**
 * What stands on what, the lowest first. A name is a folder, or a file without its ending. Those in one
 * row do not know each other, and none knows what is above it, types included.
 */
export const LAYERS: Readonly<Record<string, readonly (readonly string[])[]>> = {
  "lib/linux": [
    ...[["ffi"], ["time"], ["events"], ["files"], ["devices"], ["users"], ["processes"]],
    ...[["sockets"], ["sandbox"], ["index"]],
  ],
  "lib/dbus": [["protocol"], ["connection"], ["objects"], ["index"]],
  "lib/notify": [
    ["failures", "protocol"],
    ["fdstore", "state"],
    ["services"],
    ["cli", "client"],
    ["descriptor-guard", "listen"],
    ["server"],
    ["daemon"],
    ["index"],
  ],
  "lib/login1": [
    ["vocabulary"],
    ["host"],
    ["hardware"],
    ["settings"],
    ["users"],
    ["model"],
    ["state"],
    ["inhibitors", "seats"],
    ["power", "sessions"],
    ["devices", "permission", "varlink"],
    ["login1"],
    ["actions", "dbus"],
    ["bridge"],
    ["index"],
  ],
};

/** The name that a path has in its domain's layers: that of its folder, or of the file. */
function nameIn(domain: string, path: string): string {
  const rest = path.slice(domain.length + 1);
  return dirname(rest) === "." ? rest.replace(/\.ts$/, "") : (rest.split("/", 1)[0] ?? "");
}

/**
 * Whether an import inside a domain goes upwards, or to the side.
 *
 * @param domain of both paths, `lib/login1`
 * @returns what is wrong with it, or undefined
 */
export function layerProblem(domain: string, from: string, to: string): string | undefined {
  const layers = LAYERS[domain];
  if (!layers) return undefined;
  const [source, target] = [nameIn(domain, from), nameIn(domain, to)];
  if (source === target) return undefined;
  const height = (name: string) => layers.findIndex((row) => row.includes(name));
  for (const name of [source, target]) {
    if (height(name) < 0) return `${name} has no place in the layers of ${domain} yet`;
  }
  if (height(target) < height(source)) return undefined;
  return `${source} stands ${height(target) === height(source) ? "beside" : "below"} ${target}`;
}
