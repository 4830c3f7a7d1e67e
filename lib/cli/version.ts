import manifest from "../../package.json" with { type: "json" };

/** The version of Protocol 7, from package.json. */
export const version: string = manifest.version;
