/** The clients of login1 that systemd ships with it: loginctl and systemd-inhibit. */

export { systemdInhibit } from "./inhibit.ts";
export { loginctl } from "./main.ts";
