/*
 * Somebody who does no harm while somebody else does: calls login1, pings varlink, lainos-notifyd and
 * its store, and logs in, again and again, each in a process and on a connection of its own.
 *
 * bystander SECONDS USER SESSION PROBE...
 *
 * A signal interrupts some waits, so a probe of the one socket can hide that a daemon hangs over the
 * other: the probes to use are named. A probe that is a number is a process, whose first thread is
 * watched: how long it waits in one system call that is none to wait for news in.
 *
 * Prints a line for each: its NAME, how many answers came, the 50th and 99th percentile and the
 * longest in milliseconds, how many were refused or never came; for logins also how many had no
 * session. For a process: PID, the system call, 0, 0, the longest wait in milliseconds. A call that waits when the time is over is waited for, and counts.
 */
#include "wire.h"
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* What a client of D-Bus waits by its default. */
#define PATIENCE 25.0
#define MOST 100000

struct probe {
	const char *name;
	/* 0, or -1 where there was no answer or a refusal. */
	int (*once)(void);
	double pause;
	struct record {
		int count, failed, without;
		char last[128];
		float took[MOST];
	} *record;
};

static const char *user, *session;
static struct record *mine;
static int bus = -1, varlink = -1;

static void remember(const char *what)
{
	snprintf(mine->last, sizeof mine->last, "%s: %s", what, strerror(errno));
}

static int bus_call(struct call call)
{
	struct bytes reply = {0};
	size_t at;
	char error[120] = "";
	if (bus < 0 && (bus = open_bus(PATIENCE)) < 0) {
		remember("bus");
		return -1;
	}
	int done = ask(bus, call, NULL, &reply, &at, error, sizeof error, PATIENCE);
	if (done < 0) {
		remember(call.member);
		close(bus);
		bus = -1;
	} else if (done == 3) {
		snprintf(mine->last, sizeof mine->last, "%s", error);
	}
	free(reply.at);
	return done == 2 ? 0 : -1;
}

static int call_login1(const char *member, const char *argument)
{
	struct bytes body = {0};
	if (argument)
		put_string(&body, argument);
	int done = bus_call(manager_call(member, argument ? "s" : "", argument ? &body : NULL));
	free(body.at);
	return done;
}

/* What dbus-daemon itself takes to bring a call to a service and the answer back. */
static int ask_polkit(void)
{
	struct bytes body = {0};
	put_string(&body, "org.freedesktop.PolicyKit1.Authority");
	put_string(&body, "BackendName");
	int done = bus_call((struct call){"org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority",
		"org.freedesktop.DBus.Properties", "Get", "ss", 0, &body, 0, 0});
	free(body.at);
	return done;
}

static int list_seats(void) { return call_login1("ListSeats", NULL); }
static int get_session(void) { return call_login1("GetSession", session); }

static int ping_varlink(void)
{
	static const char call[] = "{\"method\":\"org.varlink.service.GetInfo\"}";
	double until = now() + PATIENCE;
	if (varlink < 0 && (varlink = connect_to(VARLINK, SOCK_STREAM)) < 0) {
		remember("varlink");
		return -1;
	}
	int done = send_all(varlink, call, sizeof call, NULL, 0);
	for (char one = 1; done == 0 && one != 0;)
		done = read_exactly(varlink, &one, 1, until);
	if (done < 0) {
		remember("varlink");
		close(varlink);
		varlink = -1;
	}
	return done;
}

/* Whether the other end of a pipe that lainos-notifyd was sent is closed in time. */
static int barrier(void)
{
	int ends[2], done = -1;
	int fd = connect_to(NOTIFY, SOCK_DGRAM);
	if (fd < 0 || pipe2(ends, O_CLOEXEC) < 0) {
		remember("notify");
		return -1;
	}
	if (send_with(fd, "BARRIER=1", 9, ends + 1, 1, 0) == 9) {
		close(ends[1]);
		struct pollfd wait = {ends[0], 0, 0};
		done = poll(&wait, 1, PATIENCE * 1000) == 1 ? 0 : -1;
		if (done < 0)
			errno = ETIMEDOUT;
	} else {
		close(ends[1]);
	}
	if (done < 0)
		remember("BARRIER");
	close(ends[0]);
	close(fd);
	return done;
}

static int list_store(void)
{
	static const char request[] = "{\"do\":\"list\",\"service\":\"lainos-dbus-bridge\"}\n";
	int fd = connect_to(STORE, SOCK_STREAM);
	int done = fd < 0 ? -1 : send_all(fd, request, sizeof request - 1, NULL, 0);
	double until = now() + PATIENCE;
	for (char one = 0; done == 0 && one != '\n';)
		done = read_exactly(fd, &one, 1, until);
	if (done < 0)
		remember("fdstore");
	if (fd >= 0)
		close(fd);
	return done;
}

/* By su's PAM, as a person would; the shell says which cgroup it is in. */
static int login(void)
{
	int ends[2];
	char text[4096] = "";
	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe");
	pid_t child = fork();
	if (child == 0) {
		int null = open("/dev/null", O_RDWR);
		dup2(null, 0);
		dup2(ends[1], 1);
		dup2(null, 2);
		setsid();
		execlp("su", "su", "-l", user, "-c", "cat /proc/self/cgroup; echo in", NULL);
		_exit(127);
	}
	close(ends[1]);
	size_t length = 0;
	for (ssize_t got; (got = read(ends[0], text + length, sizeof text - 1 - length)) > 0;)
		length += got;
	close(ends[0]);
	waitpid(child, NULL, 0);
	if (!strstr(text, "in\n")) {
		snprintf(mine->last, sizeof mine->last, "no login");
		return -1;
	}
	if (!strstr(text, ".scope")) {
		mine->without++;
		snprintf(mine->last, sizeof mine->last, "a login without a session");
	}
	return 0;
}

static struct probe probes[] = {
	{"ListSeats", list_seats, 0.01, NULL}, {"GetSession", get_session, 0.01, NULL},
	{"varlink", ping_varlink, 0.01, NULL}, {"BARRIER", barrier, 0.01, NULL},
	{"fdstore", list_store, 0.02, NULL}, {"login", login, 0.3, NULL},
	{"polkit", ask_polkit, 0.01, NULL},
};
#define COUNT (sizeof probes / sizeof *probes)

static int is_named(char **names, const char *name)
{
	for (; *names; names++)
		if (strcmp(*names, name) == 0)
			return 1;
	return 0;
}

#define MOST_WATCHED 8
static struct watched {
	int pid, call, worst_call;
	long switches;
	double since, worst;
} *watched;

/* The number of the system call that a process waits in; -1 while it runs. */
static int call_of(int pid)
{
	char path[64], text[64] = "";
	snprintf(path, sizeof path, "/proc/%d/syscall", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t length = read(fd, text, sizeof text - 1);
	close(fd);
	return length <= 0 || *text < '0' || *text > '9' ? -1 : atoi(text);
}

/* How often a process has begun to wait: where that is more than before, it is another wait. */
static long switches_of(int pid)
{
	char path[64], text[4096] = "";
	snprintf(path, sizeof path, "/proc/%d/status", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t length = read(fd, text, sizeof text - 1);
	close(fd);
	char *at = length > 0 ? strstr(text, "\nvoluntary_ctxt_switches:") : NULL;
	return at ? atol(at + 25) : -1;
}

/* What an event loop waits for news in: epoll_wait, epoll_pwait, epoll_pwait2. */
static int is_idle(int call) { return call == 232 || call == 281 || call == 441; }

static void watch(void)
{
	for (int i = 0; watched[i].pid; i++) {
		struct watched *one = &watched[i];
		int call = call_of(one->pid);
		long switches = switches_of(one->pid);
		if (call < 0 || is_idle(call) || call != one->call || switches != one->switches) {
			one->since = now();
			one->switches = switches;
			one->call = is_idle(call) ? -1 : call;
		} else if (now() - one->since > one->worst) {
			one->worst = now() - one->since;
			one->worst_call = call;
		}
	}
}

static int by_size(const void *one, const void *other)
{
	float a = *(const float *)one, b = *(const float *)other;
	return (a > b) - (a < b);
}

int main(int argc, char **argv)
{
	pid_t children[COUNT], watcher;
	if (argc < 5) {
		fprintf(stderr, "usage: bystander SECONDS USER SESSION PROBE...\n");
		return 2;
	}
	double until = now() + atof(argv[1]);
	user = argv[2];
	session = argv[3];
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < COUNT; i++) {
		struct probe *probe = &probes[i];
		children[i] = -1;
		if (!is_named(argv + 4, probe->name))
			continue;
		probe->record = mmap(NULL, sizeof(struct record), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		if (probe->record == MAP_FAILED)
			die("mmap");
		if ((children[i] = fork()) != 0)
			continue;
		mine = probe->record;
		while (now() < until && mine->count < MOST) {
			double start = now();
			int done = probe->once();
			mine->took[mine->count++] = (now() - start) * 1000;
			if (done < 0)
				mine->failed++;
			nap(done < 0 ? 0.05 : probe->pause);
		}
		_exit(0);
	}
	watched = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int i = 4, count = 0; i < argc && count < MOST_WATCHED; i++)
		if (atoi(argv[i]) > 0)
			watched[count++].pid = atoi(argv[i]);
	if ((watcher = fork()) == 0) {
		for (;;) {
			watch();
			nap(0.005);
		}
	}
	for (size_t i = 0; i < COUNT; i++)
		if (children[i] > 0)
			waitpid(children[i], NULL, 0);
	while (now() < until)
		nap(0.01);
	kill(watcher, SIGKILL);
	for (int i = 0; watched[i].pid; i++)
		printf("%d\t%d\t0\t0\t%.1f\t0\t0\t\n", watched[i].pid, watched[i].worst_call, watched[i].worst * 1000);
	for (size_t i = 0; i < COUNT; i++) {
		struct record *record = probes[i].record;
		if (!record)
			continue;
		int count = record->count;
		qsort(record->took, count, sizeof(float), by_size);
		printf("%s\t%d\t%.1f\t%.1f\t%.1f\t%d\t%d\t%s\n", probes[i].name, count,
		       count ? record->took[count / 2] : 0, count ? record->took[count - 1 - count / 100] : 0,
		       count ? record->took[count - 1] : 0, record->failed, record->without, record->last);
	}
	return 0;
}
