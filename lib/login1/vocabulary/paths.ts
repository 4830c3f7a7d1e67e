/** Where login1 keeps its state (sd-login(3) reads it) and its objects. */

export const SESSIONS = "/run/systemd/sessions";
export const USERS = "/run/systemd/users";
export const SEATS = "/run/systemd/seats";
/** The other folders that sd_login_monitor_new(3) watches and libsystemd looks into. */
export const MACHINES = "/run/systemd/machines";
/** Inhibitors, each a file and a fifo. */
export const INHIBITORS = "/run/systemd/inhibit";
/** A shutdown or sleep that is under way. */
export const OPERATION = "/run/systemd/operation";
/** A shutdown that is to come; systemd's own clients read it. */
export const SCHEDULED_SHUTDOWN = "/run/systemd/shutdown/scheduled";
/** There while /run/nologin is the bridge's own, to be removed if the shutdown does not come. */
export const LOGINS_FORBIDDEN = "/run/systemd/shutdown/logins-forbidden";
/** Below it each logged-in user's XDG_RUNTIME_DIR, by uid. */
export const RUNTIME_ROOT = "/run/user";

export const BUS_NAME = "org.freedesktop.login1";
export const MANAGER_PATH = "/org/freedesktop/login1";
export const SESSION_FOLDER = `${MANAGER_PATH}/session`;
export const USER_FOLDER = `${MANAGER_PATH}/user`;
export const SEAT_FOLDER = `${MANAGER_PATH}/seat`;

/** The name and folder under which systemd's own clients look for a session's scope. */
export const UNIT_BUS_NAME = "org.freedesktop.systemd1";
export const UNIT_MANAGER_PATH = "/org/freedesktop/systemd1";
export const UNIT_FOLDER = `${UNIT_MANAGER_PATH}/unit`;
