/* Prints what the real libsystemd says of a process's session, one KEY=VALUE a line,
 * for the test to hold against the bus. With "monitor", waits for one event. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-login.h>

/* libsystemd has it since version 254; where it lacks, the test has nothing to compare. */
extern int sd_session_get_leader(const char *session, pid_t *leader) __attribute__((weak));

static void text(const char *key, int result, char *value) {
	if (result < 0)
		printf("%s=!%s\n", key, strerror(-result));
	else
		printf("%s=%s\n", key, value ? value : "");
	if (result >= 0)
		free(value);
}

static int monitor(const char *category) {
	sd_login_monitor *m;
	int r = sd_login_monitor_new(category, &m);
	if (r < 0) {
		printf("monitor=!%s\n", strerror(-r));
		return 1;
	}
	printf("monitor=open\n");
	fflush(stdout);
	struct pollfd p = {.fd = sd_login_monitor_get_fd(m), .events = (short) sd_login_monitor_get_events(m)};
	r = poll(&p, 1, 10000);
	printf("monitor=%s\n", r == 1 ? "event" : "nothing");
	sd_login_monitor_flush(m);
	sd_login_monitor_unref(m);
	return r == 1 ? 0 : 1;
}

int main(int argc, char **argv) {
	if (argc == 3 && strcmp(argv[1], "monitor") == 0)
		return monitor(strcmp(argv[2], "all") == 0 ? NULL : argv[2]);
	if (argc != 2) {
		fprintf(stderr, "usage: %s PID | monitor CATEGORY\n", argv[0]);
		return 2;
	}
	pid_t pid = (pid_t) atoi(argv[1]);
	char *session = NULL, *value = NULL, **list = NULL;
	uid_t uid = 0;
	unsigned vt = 0;
	pid_t leader = 0;
	printf("booted=%d\n", sd_booted());
	int n = sd_get_sessions(&list);
	printf("sessions=%d", n);
	for (int i = 0; i < n; i++) {
		printf(" %s", list[i]);
		free(list[i]);
	}
	free(list);
	printf("\n");
	int r = sd_pid_get_session(pid, &session);
	printf("pid_session=%s\n", r < 0 ? strerror(-r) : session);
	if (r < 0)
		return 1;
	r = sd_pid_get_owner_uid(pid, &uid);
	printf("pid_owner=%d\n", r < 0 ? r : (int) uid);
	r = sd_pid_get_slice(pid, &value);
	text("pid_slice", r, value);
	r = sd_session_get_type(session, &value);
	text("type", r, value);
	r = sd_session_get_class(session, &value);
	text("class", r, value);
	r = sd_session_get_seat(session, &value);
	text("seat", r, value);
	r = sd_session_get_desktop(session, &value);
	text("desktop", r, value);
	r = sd_session_get_service(session, &value);
	text("service", r, value);
	r = sd_session_get_state(session, &value);
	text("state", r, value);
	r = sd_session_get_tty(session, &value);
	text("tty", r, value);
	r = sd_session_get_display(session, &value);
	text("display", r, value);
	r = sd_session_get_remote_host(session, &value);
	text("remote_host", r, value);
	r = sd_session_get_vt(session, &vt);
	printf("vt=%d\n", r < 0 ? r : (int) vt);
	if (sd_session_get_leader) {
		r = sd_session_get_leader(session, &leader);
		printf("leader=%d\n", r < 0 ? r : (int) leader);
	} else {
		printf("leader=unknown to this libsystemd\n");
	}
	printf("active=%d\n", sd_session_is_active(session));
	printf("remote=%d\n", sd_session_is_remote(session));
	r = sd_session_get_uid(session, &uid);
	printf("uid=%d\n", r < 0 ? r : (int) uid);
	r = sd_uid_get_state(uid, &value);
	text("uid_state", r, value);
	r = sd_uid_get_display(uid, &value);
	text("uid_display", r, value);
	n = sd_uid_get_sessions(uid, 0, NULL);
	printf("uid_sessions=%d\n", n);
	char *active = NULL;
	r = sd_seat_get_active("seat0", &active, &uid);
	printf("seat_active=%s %d\n", r < 0 ? strerror(-r) : active, r < 0 ? -1 : (int) uid);
	printf("seat_sessions=%d\n", sd_seat_get_sessions("seat0", NULL, NULL, NULL));
	printf("seat_graphical=%d\n", sd_seat_can_graphical("seat0"));
	printf("seat_tty=%d\n", sd_seat_can_tty("seat0"));
	return 0;
}
