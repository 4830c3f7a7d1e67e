/** The folders of /run/systemd that libsystemd and its clients look for. */
export { type Difference, inspectTree, makeTree } from "./make.ts";
export { FOLDERS, type Folder } from "./table.ts";
