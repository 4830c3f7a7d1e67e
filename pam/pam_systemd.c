/*
 * pam_systemd.so: makes a login a session of login1, in the place and by the name of systemd's module,
 * which PAM files of other packages call. See docs/registration.md.
 *
 * It is in the process of whoever logs somebody in, so it does nothing that can be done elsewhere: it
 * runs a program as root, with an environment made here, and puts the lines that come back into PAM's
 * environment. What a login is to be is decided by that program, `lainos-init pam`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include <security/pam_ext.h>
#include <security/pam_modules.h>

#ifndef HELPER
#define HELPER "/usr/libexec/lainos/pam-session"
#endif
/* Exists where a login1 runs, and not in a chroot: see sd_login_monitor_new(3). */
#define LOGIND_RUNS "/run/systemd/seats"
/* The program gives up by itself after two times five seconds. */
#ifndef LIMIT_SECONDS
#define LIMIT_SECONDS 30
#endif
/* How long the kernel has to end a program that is killed. */
#define END_SECONDS 5
/* More than the longest environment of a session. */
#define MOST_BYTES 8192
/* Much more than is made use of of any value, and much less than execve(2) takes. */
#define MOST_OF_VALUE 4096

#define PUBLIC __attribute__((visibility("default")))

/* What pam_systemd(8) reads of PAM's items ... */
static const struct {
	int item;
	const char *name;
} ITEMS[] = {
	{ PAM_SERVICE, "PAM_SERVICE" }, { PAM_TTY, "PAM_TTY" }, { PAM_RHOST, "PAM_RHOST" },
	{ PAM_RUSER, "PAM_RUSER" }, { PAM_XDISPLAY, "PAM_XDISPLAY" },
};
/* ... and of the environment, PAM's or else the login program's own. */
static const char *const VARIABLES[] = {
	"XDG_SEAT", "XDG_VTNR", "XDG_SESSION_TYPE", "XDG_SESSION_CLASS", "XDG_SESSION_DESKTOP",
	"XDG_SESSION_INCOMPLETE",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* PATH, LC_ALL, PAM_TYPE, PAM_LEADER, PAM_USER and the end, and all of the above. */
#define MOST_VARIABLES (6 + COUNT(ITEMS) + COUNT(VARIABLES))

struct environment {
	char *lines[MOST_VARIABLES];
	size_t count;
};

/*
 * Adds NAME=value, if there is a value. One that is too long is cut off and not left out: a host's name
 * makes a login remote, whatever it is. Returns 0, or -1 if there is no memory.
 */
static int add(struct environment *to, const char *name, const char *value)
{
	if (value == NULL || *value == '\0')
		return 0;
	if (asprintf(&to->lines[to->count], "%s=%.*s", name, MOST_OF_VALUE, value) < 0) {
		to->lines[to->count] = NULL;
		return -1;
	}
	to->count++;
	return 0;
}

static int describe(pam_handle_t *pamh, const char *type, struct environment *to)
{
	const char *user = NULL;
	char leader[24];
	int failed = 0;

	/* One that is cut off would be somebody else. */
	if (pam_get_user(pamh, &user, NULL) != PAM_SUCCESS || strlen(user) > MOST_OF_VALUE)
		return -1;
	failed |= add(to, "PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
	failed |= add(to, "LC_ALL", "C.UTF-8");
	failed |= add(to, "PAM_TYPE", type);
	/* Its parent is another as soon as this process is gone. */
	snprintf(leader, sizeof(leader), "%ld", (long)getpid());
	failed |= add(to, "PAM_LEADER", leader);
	failed |= add(to, "PAM_USER", user);
	for (size_t i = 0; i < COUNT(ITEMS); i++) {
		const void *value = NULL;

		if (pam_get_item(pamh, ITEMS[i].item, &value) == PAM_SUCCESS)
			failed |= add(to, ITEMS[i].name, value);
	}
	for (size_t i = 0; i < COUNT(VARIABLES); i++) {
		const char *value = pam_getenv(pamh, VARIABLES[i]);

		/* The environment of su is that of whoever calls it: there secure_getenv(3) finds nothing. */
		if (value == NULL || *value == '\0')
			value = secure_getenv(VARIABLES[i]);
		failed |= add(to, VARIABLES[i], value);
	}
	return failed;
}

/*
 * What pam_limits has set is for the user, and what su's caller has set is hostile: either may be too
 * little for a program at all. These are the kernel's own for the first process.
 */
static const struct {
	int resource;
	struct rlimit limit;
} LIMITS[] = {
	{ RLIMIT_AS, { RLIM_INFINITY, RLIM_INFINITY } },
	{ RLIMIT_CPU, { RLIM_INFINITY, RLIM_INFINITY } },
	{ RLIMIT_DATA, { RLIM_INFINITY, RLIM_INFINITY } },
	{ RLIMIT_FSIZE, { RLIM_INFINITY, RLIM_INFINITY } },
	{ RLIMIT_NPROC, { RLIM_INFINITY, RLIM_INFINITY } },
	{ RLIMIT_STACK, { 8 << 20, RLIM_INFINITY } },
	{ RLIMIT_NOFILE, { 1024, 4096 } },
	/* Where it crashes it leaves no memory of root's behind. */
	{ RLIMIT_CORE, { 0, 0 } },
};

static void lift_limits(void)
{
	for (size_t i = 0; i < COUNT(LIMITS); i++) {
		struct rlimit hard;

		/* In a container root may not be able to go above the hard one. */
		if (setrlimit(LIMITS[i].resource, &LIMITS[i].limit) < 0 &&
		    getrlimit(LIMITS[i].resource, &hard) == 0) {
			hard.rlim_cur = hard.rlim_max;
			setrlimit(LIMITS[i].resource, &hard);
		}
	}
}

/*
 * The child: becomes the program, as root and with nothing of the login program's but what is given. No
 * signal arrives before the login program's handlers are gone, which would take the child for it.
 */
static _Noreturn void become(char *const arguments[], char *const environment[], int output)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	sigset_t signals;
	int null;

	/* Keys of the terminal (Ctrl-Z) are for the login program. */
	setsid();
	for (int number = 1; number < NSIG; number++)
		sigaction(number, &action, NULL);
	sigemptyset(&signals);
	sigprocmask(SIG_SETMASK, &signals, NULL);
	lift_limits();
	null = fcntl(open("/dev/null", O_RDWR), F_DUPFD, 3);
	if (null < 0 || dup2(null, 0) < 0 || dup2(output, 1) < 0 || dup2(null, 2) < 0)
		_exit(127);
	/* su's real user is its caller, who could signal the program. */
	if (close_range(3, ~0U, 0) < 0 || setgid(0) < 0 || setuid(0) < 0 || chdir("/") < 0)
		_exit(127);
	umask(022);
	execve(HELPER, arguments, environment);
	_exit(127);
}

/* Milliseconds until a moment of CLOCK_MONOTONIC, in seconds. */
static int left_until(time_t moment)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return moment > now.tv_sec ? (int)(moment - now.tv_sec) * 1000 : 0;
}

/*
 * Reads until the process has ended: what it has started may hold the pipe for longer, and a pipe that is
 * closed says nothing of its end. Returns how much there was; -1 if it is too much, or takes too long.
 */
static ssize_t read_all(int input, int process, int seconds, char *into, size_t size)
{
	struct timespec now;
	size_t length = 0;

	clock_gettime(CLOCK_MONOTONIC, &now);
	for (;;) {
		/* poll(2) passes over what is no descriptor. */
		struct pollfd waiting[] = {
			{ .fd = input, .events = POLLIN }, { .fd = process, .events = POLLIN },
		};
		const int ready = poll(waiting, COUNT(waiting), left_until(now.tv_sec + seconds));
		ssize_t got;

		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0)
			return -1;
		if (waiting[0].revents == 0)
			return (ssize_t)length;
		if (length == size)
			return -1;
		got = read(input, into + length, size - length);
		if (got > 0)
			length += (size_t)got;
		else if (got == 0)
			input = -1;
		else if (errno != EINTR)
			return -1;
	}
}

/* Whether a process ends within this time. What is no descriptor never does. */
static int ends_in(int process, int seconds)
{
	char nothing[1];

	return read_all(-1, process, seconds, nothing, 0) == 0;
}

/* A pipe whose ends are none of 0 to 2, which login has closed. */
static int open_pipe(int ends[2])
{
	int low[2];

	if (pipe2(low, O_CLOEXEC) < 0)
		return -1;
	ends[0] = fcntl(low[0], F_DUPFD_CLOEXEC, 3);
	ends[1] = fcntl(low[1], F_DUPFD_CLOEXEC, 3);
	close(low[0]);
	close(low[1]);
	if (ends[0] >= 0 && ends[1] >= 0)
		return 0;
	if (ends[0] >= 0)
		close(ends[0]);
	if (ends[1] >= 0)
		close(ends[1]);
	return -1;
}

/* What SIGCHLD does in the login program: it is put back when the last thread of it is through. */
static struct {
	pthread_mutex_t lock;
	unsigned int threads;
	struct sigaction before;
} children = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* A login program that ignores SIGCHLD, or whose handler reaps all that ends, would take the status away. */
static void take_children(void)
{
	const struct sigaction wait_for_it = { .sa_handler = SIG_DFL };

	pthread_mutex_lock(&children.lock);
	if (children.threads++ == 0)
		sigaction(SIGCHLD, &wait_for_it, &children.before);
	pthread_mutex_unlock(&children.lock);
}

static void give_children_back(void)
{
	siginfo_t ended = { .si_pid = 0 };

	pthread_mutex_lock(&children.lock);
	if (--children.threads == 0)
		sigaction(SIGCHLD, &children.before, NULL);
	pthread_mutex_unlock(&children.lock);
	/* One of its own children that has ended meanwhile has not been told of. */
	if (waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid != 0)
		kill(getpid(), SIGCHLD);
}

/* Starts the program. Returns its pid, and in `process` what poll(2) takes for it; -1 if it fails. */
static pid_t start(char *const arguments[], char *const environment[], int output, int *process)
{
	sigset_t all, before;
	pid_t child;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	child = fork();
	if (child == 0)
		become(arguments, environment, output);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	/* By the system call: glibc has pidfd_open(2) from 2.36 on. */
	*process = child > 0 ? (int)syscall(SYS_pidfd_open, child, 0) : -1;
	return child;
}

/* Runs the program. Returns how much it has printed; -1 if it fails. */
static ssize_t run(char *const arguments[], char *const environment[], char *into, size_t size)
{
	ssize_t length = -1;
	int ends[2], process, status = -1;
	pid_t child, ended = 0;

	if (open_pipe(ends) < 0)
		return -1;
	take_children();
	child = start(arguments, environment, ends[1], &process);
	close(ends[1]);
	if (process >= 0)
		length = read_all(ends[0], process, LIMIT_SECONDS, into, size);
	/* What has ended may have been reaped by such a thread, and its pid be somebody else's. */
	if (child > 0 && length < 0 && !ends_in(process, 0)) {
		kill(-child, SIGKILL);
		/* For one that somebody has stopped before it had a group. */
		kill(child, SIGKILL);
	}
	/* Nobody waits for a program that the kernel does not let go, as on a server that is gone. */
	if (child > 0 && (process < 0 || ends_in(process, END_SECONDS))) {
		do
			ended = waitpid(child, &status, 0);
		while (ended < 0 && errno == EINTR);
		/* A thread of the login program that waits for all has it: what was printed counts, if anything. */
		if (ended < 0 && errno == ECHILD && length >= 0)
			status = 0;
	}
	give_children_back();
	close(ends[0]);
	if (process >= 0)
		close(process);
	return status == 0 ? length : -1;
}

/* Puts one line into PAM's environment: NAME=value sets, NAME alone takes away. */
static int put(pam_handle_t *pamh, const char *line)
{
	const size_t length = strspn(line, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_");

	if (length == 0 || (line[length] != '=' && line[length] != '\0'))
		return PAM_SESSION_ERR;
	/* PAM complains in the log of a name that is not there to be taken away. */
	if (line[length] == '\0' && pam_getenv(pamh, line) == NULL)
		return PAM_SUCCESS;
	return pam_putenv(pamh, line);
}

static int tell(pam_handle_t *pamh, const char *type, int argc, const char **argv)
{
	static char name[] = HELPER;
	struct environment given = { .count = 0 };
	char **arguments;
	char said[MOST_BYTES + 1];
	ssize_t length = -1;
	int result = PAM_SESSION_ERR;

	if (access(LOGIND_RUNS, F_OK) < 0)
		return PAM_SUCCESS;
	if (geteuid() != 0) {
		pam_syslog(pamh, LOG_ERR, "%s: only root registers logins", type);
		return result;
	}
	/* Two more: the program's own name, and the end. */
	arguments = calloc((size_t)argc + 2, sizeof(*arguments));
	if (arguments != NULL && describe(pamh, type, &given) == 0) {
		arguments[0] = name;
		for (int i = 0; i < argc; i++)
			arguments[i + 1] = (char *)argv[i];
		length = run(arguments, given.lines, said, MOST_BYTES);
	}
	free(arguments);
	for (size_t i = 0; i < given.count; i++)
		free(given.lines[i]);
	if (length >= 0 && memchr(said, '\0', (size_t)length) == NULL) {
		char *end, *line = said;

		said[length] = '\0';
		result = PAM_SUCCESS;
		for (; result == PAM_SUCCESS && (end = strchr(line, '\n')) != NULL; line = end + 1) {
			*end = '\0';
			result = put(pamh, line);
		}
		if (*line != '\0')
			result = PAM_SESSION_ERR;
	}
	if (result != PAM_SUCCESS)
		pam_syslog(pamh, LOG_ERR, "%s: " HELPER " failed; see lainos-init in the log", type);
	return result;
}

PUBLIC int pam_sm_open_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)flags;
	return tell(pamh, "open_session", argc, argv);
}

PUBLIC int pam_sm_close_session(pam_handle_t *pamh, int flags, int argc, const char **argv)
{
	(void)flags;
	/* Who came in the session of somebody else, as with su, has none to end. */
	if (pam_getenv(pamh, "XDG_SESSION_ID") == NULL)
		return PAM_SUCCESS;
	return tell(pamh, "close_session", argc, argv);
}
