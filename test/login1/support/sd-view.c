/* A long-lived co-process: everything that the real libsystemd says, for a test to hold
 * against the bus. One command a line of standard input, one line of answer:
 *
 *   leader            starts a process that does nothing; its pid. It keeps a
 *                     connection to us, for sd_peer_*.
 *   member CGROUP     starts one in that cgroup that does not heed SIGHUP; its pid
 *   dump PID...       all of sd-login(3) as one JSON object; the pids are leaders or members
 *
 * A value is what the function gave, or its negative errno as a number. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-login.h>
#include <unistd.h>

/* Newer than the oldest libsystemd that this is built against. */
extern int sd_session_get_leader(const char *session, pid_t *leader) __attribute__((weak));

#define MOST_PIDS 4194304
/* Our end of each leader's connection by its pid, and one more; 0 for none. */
static int *peers;

/* Where the values go. */
static FILE *out;

static void string(const char *text) {
	putc('"', out);
	for (const unsigned char *at = (const unsigned char *) text; *at; at++) {
		if (*at == '"' || *at == '\\' || *at < 32)
			fprintf(out, "\\u%04x", *at);
		else
			putc(*at, out);
	}
	putc('"', out);
}

/* Before each value but the first of an object or array. */
static void comma(int *first) {
	if (!*first)
		putc(',', out);
	*first = 0;
}

static void key(int *first, const char *name) {
	comma(first);
	string(name);
	putc(':', out);
}

static void text(int *first, const char *name, int result, char *value) {
	key(first, name);
	if (result < 0) {
		fprintf(out, "%d", result);
	} else {
		string(value ? value : "");
		free(value);
	}
}

static void number(int *first, const char *name, int result, long value) {
	key(first, name);
	fprintf(out, "%ld", result < 0 ? (long) result : value);
}

static void words(int *first, const char *name, int result, char **list) {
	key(first, name);
	if (result < 0) {
		fprintf(out, "%d", result);
		return;
	}
	int none = 1;
	putc('[', out);
	for (char **at = list; at && *at; at++) {
		comma(&none);
		string(*at);
		free(*at);
	}
	putc(']', out);
	free(list);
}

#define TEXT(name, call)                                                                           \
	do {                                                                                       \
		char *value = NULL;                                                                \
		int result = (call);                                                               \
		text(&first, name, result, value);                                                 \
	} while (0)
#define WORDS(name, call)                                                                          \
	do {                                                                                       \
		char **value = NULL;                                                               \
		int result = (call);                                                               \
		words(&first, name, result, value);                                                \
	} while (0)
#define NUMBER(name, type, call)                                                                   \
	do {                                                                                       \
		type value = 0;                                                                    \
		int result = (call);                                                               \
		number(&first, name, result, (long) value);                                        \
	} while (0)
#define RESULT(name, call)                                                                         \
	do {                                                                                       \
		int result = (call);                                                               \
		number(&first, name, result, result);                                              \
	} while (0)

static void read_session(const char *id) {
	int first = 1;
	putc('{', out);
	RESULT("is_active", sd_session_is_active(id));
	RESULT("is_remote", sd_session_is_remote(id));
	TEXT("state", sd_session_get_state(id, &value));
	NUMBER("uid", uid_t, sd_session_get_uid(id, &value));
	TEXT("seat", sd_session_get_seat(id, &value));
	TEXT("service", sd_session_get_service(id, &value));
	TEXT("type", sd_session_get_type(id, &value));
	TEXT("class", sd_session_get_class(id, &value));
	TEXT("desktop", sd_session_get_desktop(id, &value));
	TEXT("display", sd_session_get_display(id, &value));
	TEXT("remote_host", sd_session_get_remote_host(id, &value));
	TEXT("remote_user", sd_session_get_remote_user(id, &value));
	TEXT("tty", sd_session_get_tty(id, &value));
	NUMBER("vt", unsigned, sd_session_get_vt(id, &value));
	if (sd_session_get_leader)
		NUMBER("leader", pid_t, sd_session_get_leader(id, &value));
	putc('}', out);
}

/* What was said of sessions, for as long as their files, which are replaced and never
 * rewritten, are the same: that is all that libsystemd reads, 15 times over. */
static struct known {
	char id[32];
	struct stat file;
	char *said;
} known[64];

static void session(const char *id) {
	char path[64];
	struct stat file = {0};
	struct known *place = known;
	snprintf(path, sizeof(path), "/run/systemd/sessions/%s", id);
	if (stat(path, &file) < 0 || strlen(id) >= sizeof(place->id)) {
		read_session(id);
		return;
	}
	for (struct known *at = known; at < known + 64; at++) {
		if (strcmp(at->id, id) == 0) {
			place = at;
			break;
		}
		/* The one that was read longest ago goes. */
		if (at->file.st_ctim.tv_sec < place->file.st_ctim.tv_sec)
			place = at;
	}
	if (strcmp(place->id, id) != 0 || place->file.st_ino != file.st_ino ||
	    memcmp(&place->file.st_ctim, &file.st_ctim, sizeof(file.st_ctim)) != 0) {
		size_t size;
		FILE *answer = out;
		free(place->said);
		out = open_memstream(&place->said, &size);
		if (!out) {
			perror("open_memstream");
			exit(1);
		}
		read_session(id);
		fclose(out);
		out = answer;
		strcpy(place->id, id);
		place->file = file;
	}
	fputs(place->said, out);
}

static void user(uid_t uid, char **seats) {
	int first = 1;
	putc('{', out);
	TEXT("state", sd_uid_get_state(uid, &value));
	TEXT("display", sd_uid_get_display(uid, &value));
	WORDS("sessions", sd_uid_get_sessions(uid, -1, &value));
	WORDS("online_sessions", sd_uid_get_sessions(uid, 0, &value));
	WORDS("active_sessions", sd_uid_get_sessions(uid, 1, &value));
	WORDS("seats", sd_uid_get_seats(uid, -1, &value));
	WORDS("online_seats", sd_uid_get_seats(uid, 0, &value));
	WORDS("active_seats", sd_uid_get_seats(uid, 1, &value));
	key(&first, "on_seat");
	putc('{', out);
	first = 1;
	for (char **at = seats; at && *at; at++)
		RESULT(*at, sd_uid_is_on_seat(uid, 0, *at));
	fprintf(out, "},\"active_on_seat\":{");
	first = 1;
	for (char **at = seats; at && *at; at++)
		RESULT(*at, sd_uid_is_on_seat(uid, 1, *at));
	fprintf(out, "}}");
}

static void seat(const char *id) {
	int first = 1;
	char *active = NULL;
	uid_t uid = 0, *uids = NULL;
	unsigned count = 0;
	putc('{', out);
	int result = sd_seat_get_active(id, &active, &uid);
	text(&first, "active", result, active);
	number(&first, "active_uid", result, (long) uid);
	char **sessions = NULL;
	result = sd_seat_get_sessions(id, &sessions, &uids, &count);
	words(&first, "sessions", result, sessions);
	key(&first, "uids");
	putc('[', out);
	for (unsigned i = 0; result >= 0 && i < count; i++)
		fprintf(out, "%s%u", i ? "," : "", uids[i]);
	putc(']', out);
	free(uids);
	RESULT("can_tty", sd_seat_can_tty(id));
	RESULT("can_graphical", sd_seat_can_graphical(id));
	putc('}', out);
}

/* The functions of a process and of a peer differ in the errno by which they say "none". */
static int none(int result) {
	return result == -ENXIO || result == -ENOENT ? -ENODATA : result;
}

static void process(pid_t pid) {
	int first = 1;
	putc('{', out);
	TEXT("session", sd_pid_get_session(pid, &value));
	NUMBER("owner_uid", uid_t, sd_pid_get_owner_uid(pid, &value));
	TEXT("unit", sd_pid_get_unit(pid, &value));
	TEXT("user_unit", none(sd_pid_get_user_unit(pid, &value)));
	TEXT("slice", sd_pid_get_slice(pid, &value));
	TEXT("user_slice", sd_pid_get_user_slice(pid, &value));
	TEXT("cgroup", sd_pid_get_cgroup(pid, &value));
	TEXT("machine_name", none(sd_pid_get_machine_name(pid, &value)));
	putc('}', out);
}

static void peer(int fd) {
	int first = 1;
	putc('{', out);
	TEXT("session", sd_peer_get_session(fd, &value));
	NUMBER("owner_uid", uid_t, sd_peer_get_owner_uid(fd, &value));
	TEXT("unit", sd_peer_get_unit(fd, &value));
	TEXT("user_unit", none(sd_peer_get_user_unit(fd, &value)));
	TEXT("slice", sd_peer_get_slice(fd, &value));
	TEXT("user_slice", sd_peer_get_user_slice(fd, &value));
	TEXT("cgroup", sd_peer_get_cgroup(fd, &value));
	TEXT("machine_name", none(sd_peer_get_machine_name(fd, &value)));
	putc('}', out);
}

static void dump(char *pids) {
	char **sessions = NULL, **seats = NULL, **machines = NULL;
	uid_t *uids = NULL;
	int first = 1, count;
	count = sd_get_sessions(&sessions);
	fprintf(out, "{\"session_count\":%d,\"sessions\":{", count);
	for (int i = 0; i < count; i++) {
		key(&first, sessions[i]);
		session(sessions[i]);
		free(sessions[i]);
	}
	free(sessions);
	int seat_count = sd_get_seats(&seats);
	count = sd_get_uids(&uids);
	fprintf(out, "},\"user_count\":%d,\"users\":{", count);
	for (int i = 0; i < count; i++) {
		fprintf(out, "%s\"%u\":", i ? "," : "", uids[i]);
		user(uids[i], seats);
	}
	free(uids);
	fprintf(out, "},\"seat_count\":%d,\"seats\":{", seat_count);
	first = 1;
	for (int i = 0; i < seat_count; i++) {
		key(&first, seats[i]);
		seat(seats[i]);
		free(seats[i]);
	}
	free(seats);
	fprintf(out, "},\"machine_count\":%d", sd_get_machine_names(&machines));
	for (char **at = machines; at && *at; at++)
		free(*at);
	free(machines);
	fprintf(out, ",\"processes\":{");
	first = 1;
	char *rest = pids;
	for (char *word; (word = strsep(&rest, " "));) {
		if (!*word)
			continue;
		pid_t pid = (pid_t) atoi(word);
		key(&first, word);
		process(pid);
		if (peers[pid] > 0) {
			fprintf(out, ",\"peer %d\":", pid);
			peer(peers[pid] - 1);
		}
	}
	fprintf(out, "}}\n");
}

/* A pid comes again. */
static void forget_peer(pid_t pid) {
	if (peers[pid] > 0)
		close(peers[pid] - 1);
	peers[pid] = 0;
}

/* A child's whole life. */
static void __attribute__((noreturn)) sleep_on(void) {
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		pause();
}

static int start_leader(int listener, const struct sockaddr_un *address, socklen_t length) {
	pid_t pid = fork();
	if (pid == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		close(STDIN_FILENO);
		if (fd < 0 || connect(fd, (const struct sockaddr *) address, length) < 0)
			_exit(1);
		sleep_on();
	}
	if (pid < 0)
		return -1;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (fd < 0)
		return -1;
	forget_peer(pid);
	peers[pid] = fd + 1;
	printf("%d\n", pid);
	return 0;
}

static int start_member(const char *cgroup) {
	char path[4096];
	snprintf(path, sizeof(path), "/sys/fs/cgroup%s/cgroup.procs", cgroup);
	/* It is in the cgroup, and deaf to SIGHUP, before anybody hears of it. */
	signal(SIGHUP, SIG_IGN);
	pid_t pid = fork();
	if (pid == 0)
		sleep_on();
	signal(SIGHUP, SIG_DFL);
	if (pid < 0)
		return -1;
	forget_peer(pid);
	FILE *procs = fopen(path, "we");
	if (!procs || fprintf(procs, "%d", pid) < 0 || fclose(procs) != 0)
		return -1;
	printf("%d\n", pid);
	return 0;
}

int main(void) {
	char *line = NULL;
	size_t size = 0;
	out = stdout;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	socklen_t length = sizeof(address);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* Without a name the kernel makes one up. */
	if (listener < 0 || bind(listener, (struct sockaddr *) &address, sizeof(sa_family_t)) < 0 ||
	    listen(listener, 16) < 0 ||
	    getsockname(listener, (struct sockaddr *) &address, &length) < 0) {
		perror("socket");
		return 1;
	}
	/* Pages of it that nobody writes to are not there, for a thousand forks. */
	peers = calloc(MOST_PIDS, sizeof(int));
	if (!peers)
		return 1;
	/* The children are not waited for. */
	signal(SIGCHLD, SIG_IGN);
	while (getline(&line, &size, stdin) > 0) {
		line[strcspn(line, "\n")] = 0;
		int result = 0;
		if (strcmp(line, "leader") == 0)
			result = start_leader(listener, &address, length);
		else if (strncmp(line, "member ", 7) == 0)
			result = start_member(line + 7);
		else if (strncmp(line, "dump", 4) == 0)
			dump(line + 4);
		else
			result = -1;
		if (result < 0) {
			fprintf(stderr, "%s: %s\n", line, strerror(errno));
			return 1;
		}
		fflush(stdout);
	}
	return 0;
}
