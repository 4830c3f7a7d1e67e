/** The types, classes and states of sessions; see pam_systemd(8), sd_session_get_class(3) and sd_session_get_state(3). */

export const SESSION_TYPES = ["unspecified", "tty", "x11", "wayland", "mir", "web"] as const;
export const SESSION_CLASSES = [
  "user",
  "user-early",
  "user-incomplete",
  "user-light",
  "user-early-light",
  "greeter",
  "lock-screen",
  "background",
  "background-light",
  "manager",
  "manager-early",
] as const;

export type SessionType = (typeof SESSION_TYPES)[number];
export type SessionClass = (typeof SESSION_CLASSES)[number];
export type SessionState = "opening" | "online" | "active" | "closing";

const INTERACTIVE = new Set<SessionClass>(["user", "user-early", "user-light", "user-early-light"]);
const GRAPHICAL = new Set<SessionType>(["x11", "wayland", "mir"]);

/** The classes of a person's own logins, once they are complete: somebody is behind them who would be disturbed. */
export function isInteractive(kind: SessionClass): boolean {
  return INTERACTIVE.has(kind);
}

export function isGraphical(type: SessionType): boolean {
  return GRAPHICAL.has(type);
}
