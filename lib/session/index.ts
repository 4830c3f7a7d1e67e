/** The session start: which desktop, in which session, with which environment; and PAM's side of it. */
export { type Desktop, findDesktop } from "./desktop.ts";
export { factsFromTraces, type SessionFacts, type SessionSource } from "./facts.ts";
export { pamSession } from "./pam.ts";
export { type StartOptions, startSession } from "./start.ts";
