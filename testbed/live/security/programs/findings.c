/*
 * More attacks by somebody who has taken one of our daemons over: the ways out of a sandbox that were
 * once found, N1 to O1, as far as they are not in inside.c. Prints as that does.
 *
 * findings             the attacks, where this process is
 * findings --control   the same where nothing is to refuse them
 * findings FILTER      the same after setting the filter of system calls in that file
 */
#include "sandboxed.h"
#include "processes.h"
#include <poll.h>

static char path[256];
static int control;

static long opens(const char *name, int flags)
{
	int fd = open(name, flags, 0600);
	/* What it made was to show that it can. */
	if (fd >= 0 && flags & O_CREAT)
		unlink(name);
	return fd;
}

/* The first process of a name, as the sandbox sees it; 0 if there is none. */
static int pid_of(const char *name)
{
	int first;
	processes_named(name, &first);
	return first;
}

/* N2: where lainos-machine-id writes as root, in whose way a link would stand. */
static long machine_id_link(void)
{
	/* It succeeds where there was none: taken away again. */
	long made = symlink("/etc/attack", "/run/lainos/machine-id.new");
	if (made == 0)
		unlink("/run/lainos/machine-id.new");
	return made;
}

/*
 * Opens the two pipes by which lainos-notifyd gives orders to what works outside, in its own process:
 * LAINOS_OUTSIDE in its environment has KIND:ASK:ANSWER. 0, or -1 with errno.
 */
static int open_pipes(int *ask, int *answer)
{
	char environment[4096] = "";
	int from, to, pid = pid_of("lainos-notifyd");
	snprintf(path, sizeof path, "/proc/%d/environ", pid);
	int fd = open(path, O_RDONLY);
	ssize_t length = fd < 0 ? -1 : read(fd, environment, sizeof environment - 1);
	close(fd);
	if (length <= 0)
		return -1;
	char *word = memmem(environment, length, "LAINOS_OUTSIDE=", 15);
	if (!word || sscanf(word, "LAINOS_OUTSIDE=%*[a-z]:%d:%d", &from, &to) != 2) {
		errno = EPERM;
		return -1;
	}
	snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, from);
	*ask = open(path, O_WRONLY | O_NONBLOCK);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, to);
	*answer = open(path, O_RDONLY | O_NONBLOCK);
	return *ask < 0 || *answer < 0 ? -1 : 0;
}

static long own_order(const char *line)
{
	char answer[600] = "";
	int ask, from;
	if (control)
		return 0;
	if (open_pipes(&ask, &from) < 0)
		return -1;
	struct pollfd ready = {from, POLLIN, 0};
	if (write(ask, line, strlen(line)) < 0 || poll(&ready, 1, 5000) != 1 ||
	    read(from, answer, sizeof answer - 1) < 0)
		return -1;
	char *status = strchr(answer, ' ');
	if (!status || strncmp(status, " 126 ", 5) != 0)
		return 0;
	errno = EACCES;
	return -1;
}

/* A service that does nothing but write a file, and so stands for killprocs, mount-ro, nftables. */
static long restart_other(void)
{
	return own_order("1 restart lainos-machine-id\n");
}

/* N3: whether one can put something else where the pipes to the outside were made. */
static long pipe_place(void)
{
	char target[256] = "", *end;
	int ask, answer;
	if (control)
		return 0;
	if (open_pipes(&ask, &answer) < 0)
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", ask);
	if (readlink(path, target, sizeof target - 1) < 0)
		return -1;
	/* /run/lainos/outside.X/ask (deleted) was made in /run/lainos. */
	for (int i = 0; i < 2 && (end = strrchr(target, '/')) && end != target; i++)
		*end = 0;
	return access(target, W_OK);
}

static long net_admin(void)
{
	int size = 1 << 24;
	return setsockopt(socket(AF_UNIX, SOCK_DGRAM, 0), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
}

static int other_daemon(void)
{
	int pid = pid_of("syslog-ng");
	return pid ? pid : pid_of("seatd");
}

static long signal_other(void) { return kill(other_daemon(), 0); }
/* B1: a folder and a link that change places there have umount(8) follow the link. */
static long run_user(void)
{
	long made = mkdir("/run/user/attack", 0700);
	if (made == 0)
		rmdir("/run/user/attack");
	return made;
}

/* B3: what is behind a device's file can reach the bus, and by it all of the memory. */
static long sys_devices(void) { return opens("/sys/devices/system/cpu/online", O_WRONLY) < 0 ? opens("/sys/devices/virtual/tty/tty/uevent", O_WRONLY) : 0; }

/* A mount below one that is bound read-only stays as it was: a handler for programs would be root's. */
static long below_proc(void) { return opens("/proc/sys/fs/binfmt_misc/attack", O_CREAT | O_WRONLY); }

/* O1: as many programs at once as one likes; slow is a hook that takes a while. */
static long many_programs(void)
{
	enum { MANY = 64, FEW = 16 };
	char line[128];
	int bridge = pid_of("lainos-dbus-bri"), running = 0;
	snprintf(path, sizeof path, "/proc/%d/fd/8", bridge);
	int ask = open(path, O_WRONLY);
	if (control)
		return 0;
	if (ask < 0)
		return -1;
	for (int i = 0; i < MANY; i++) {
		int length = snprintf(line, sizeof line, "%d hook pre suspend /etc/lainos/sleep.d/slow\n", 900000 + i);
		if (write(ask, line, length) < 0)
			return -1;
	}
	sleep(1);
	running = processes_named("slow", NULL);
	if (running > FEW)
		return 0;
	errno = EACCES;
	return -1;
}

static const struct {
	const char *name;
	long (*attack)(void);
} attacks[] = {
	{"N2 link-at-machine-id", machine_id_link}, {"N2 restart-of-any-service", restart_other},
	{"N3 place-of-the-pipes", pipe_place}, {"N4 net_admin", net_admin},
	{"N5 signal-to-a-daemon", signal_other}, {"N6 mount-below-proc", below_proc},
	{"B1 write-run-user", run_user}, {"B3 write-sys-devices", sys_devices},
	{"O1 many-programs", many_programs},
};

int main(int argc, char **argv)
{
	control = argc > 1 && strcmp(argv[1], "--control") == 0;
	if (argc > 1 && !control && set_filter(argv[1]) < 0) {
		perror(argv[1]);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
		errno = 0;
		long result = attacks[i].attack();
		printf("%s\t%d\n", attacks[i].name, result >= 0 ? 0 : errno);
	}
	return 0;
}
