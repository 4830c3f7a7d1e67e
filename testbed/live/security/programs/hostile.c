/*
 * A user who means no good: floods, and descriptors that harm whoever closes or looks at them.
 *
 * hostile fds KIND TARGET SECONDS      descriptors of a kind (kinds.h; "harmless" is all of those that
 *                                      do not wait) to bus, dbus-daemon, varlink, notify or fdstore
 * hostile FLOOD SECONDS [ARGUMENT]     one of the floods at the end of this file
 *
 * Prints what it did, one NAME=VALUE a line: for descriptors `close`, what a close of one meets here,
 * so that the harmless are told from the harmful.
 */
#include "kinds.h"
#include <limits.h>
#include <sys/resource.h>

static double until;
/* Shared with the children, which are killed. */
static struct counts {
	volatile long sent, refused, answered, errors, lost;
} *counts;

static int over(void) { return now() >= until; }

/* What close(2) of one does to the process that closes the last one. */
static void report_close(const struct kind *kind, int given)
{
	pid_t child = fork();
	if (child == 0) {
		int fd = kind->make ? kind->make() : given;
		_exit(close(fd) == 0 ? 0 : errno);
	}
	for (int i = 0; i < 50; i++) {
		int status;
		if (waitpid(child, &status, WNOHANG) == child) {
			if (WEXITSTATUS(status))
				printf("close=%s\n", strerror(WEXITSTATUS(status)));
			else
				printf("close=ok\n");
			return;
		}
		nap(0.01);
	}
	printf("close=waits\n");
}

/* Some of a kind. Returns how many; 0 where there is none. */
static int make_some(const struct kind *kind, int shared, int count, int *fds)
{
	for (int i = 0; i < count; i++) {
		fds[i] = kind->make ? kind->make() : shared;
		if (fds[i] < 0)
			return i;
	}
	return count;
}

/* Closes what was sent. What was not would have us wait ourselves: it is left open. */
static void drop(const struct kind *kind, const char *target, const int *fds, int count, int sent)
{
	if (!sent && strstr(kind->name, "linger"))
		return;
	/* The bus' own copy is to be closed before ours, and login1's after: some time will be right. */
	static int tries;
	if (strcmp(target, "bus") == 0 && strstr(kind->name, "linger"))
		nap(getpid() % 3 * 0.0005 + tries++ % 5 * 0.0002);
	for (int i = 0; kind->make && i < count; i++)
		close(fds[i]);
}

/* Sends some to a target once; -1 where the other side is gone. */
static int send_some(const char *target, int *socket, long turn, const int *fds, int count)
{
	static const char ping[] = "{\"method\":\"org.varlink.service.GetInfo\"}";
	static const char *const notices[] = {"BARRIER=1", "STATUS=x", "FDSTORE=1\nFDNAME=x", "MAINPIDFD=1\nMAINPID=1", "no assignment"};
	static const char list[] = "{\"do\":\"list\"";
	if (strcmp(target, "bus") == 0 || strcmp(target, "dbus-daemon") == 0) {
		int ours = *target == 'b';
		struct bytes body = {0};
		if (*socket < 0 && (*socket = open_bus(LINGER)) < 0)
			return -1;
		put_u32(&body, 0);
		struct call call = manager_call(turn % 2 ? "ListSeats" : "GetSession", "h", &body);
		if (!ours)
			call = (struct call){"org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId", "h", 0, &body, 0, 0};
		/* The one method that takes one from anybody. */
		if (ours && turn % 3 == 0) {
			call.path = "/org/freedesktop/login1/session/self";
			call.interface = "org.freedesktop.login1.Session";
			call.member = "SetTTY";
			count = 1;
		}
		call.flags = NO_REPLY;
		call.serial = turn + 1;
		/* Whoever closes it last waits: that is to be login1, which shall be busy until the bus and we
		 * have closed ours. */
		struct call before = manager_call("ListSessions", "", NULL);
		before.flags = NO_REPLY;
		before.serial = 1;
		for (int i = 0; ours && count == 1 && i < 50; i++)
			send_call(*socket, &before, NULL);
		call.fds = count;
		int done = send_call(*socket, &call, fds);
		free(body.at);
		return done;
	}
	if (strcmp(target, "varlink") == 0) {
		char answers[65536];
		if (*socket < 0 && (*socket = connect_to(VARLINK, SOCK_STREAM)) < 0)
			return -1;
		/* As with the bus: it is busy until we have closed ours. */
		for (int i = 0; i < 20; i++)
			if (send_with(*socket, ping, sizeof ping, NULL, 0, 0) < 0)
				return -1;
		if (send_with(*socket, ping, sizeof ping, fds, count, 0) < 0)
			return -1;
		while (recv(*socket, answers, sizeof answers, MSG_DONTWAIT) > 0)
			;
		return 0;
	}
	if (strcmp(target, "notify") == 0) {
		const char *notice = notices[turn % 5];
		if (*socket < 0 && (*socket = connect_to(NOTIFY, SOCK_DGRAM)) < 0)
			return -1;
		for (int i = 0; i < 20; i++)
			send_with(*socket, "STATUS=busy", 11, NULL, 0, 0);
		return send_with(*socket, notice, strlen(notice), fds, count, 0) < 0 ? -1 : 0;
	}
	/* fdstore: one request a connection, and every other one is never ended. */
	close(*socket);
	if ((*socket = connect_to(STORE, SOCK_STREAM)) < 0)
		return -1;
	return send_with(*socket, turn % 2 ? "{}\n" : list, turn % 2 ? 3 : sizeof list - 1, fds, count, 0) < 0 ? -1 : 0;
}

/* Some kinds need other ends that stay open, which add up: the next process starts with none. */
#define TURNS 10

static void send_for_a_while(const struct kind *kind, int shared, const char *target, long turns)
{
	int fds[MOST_FDS], socket = -1;
	/* The kernel has few ports and little memory for those that linger. */
	int most = strstr(kind->name, "linger") ? 1 : 16;
	for (long turn = 0; turn < turns && !over(); turn++) {
		int count = make_some(kind, shared, turn % 2 ? 1 : most, fds);
		if (count == 0)
			_exit(1);
		if (send_some(target, &socket, turn, fds, count) < 0) {
			counts->refused++;
			if (errno != ETOOMANYREFS && socket >= 0) {
				close(socket);
				socket = -1;
			}
			drop(kind, target, fds, count, 0);
			nap(0.02);
		} else {
			counts->sent += count;
			drop(kind, target, fds, count, 1);
		}
		nap(kind->make ? 0.05 : 0.005);
	}
	/* Without the other end nothing lingers. */
	while (strstr(kind->name, "linger") && !over())
		nap(0.1);
	_exit(0);
}

static void send_descriptors(const struct kind *kind, int shared, const char *target)
{
	/* An end closes what is open, so one that harms whoever closes it stays in one process. */
	if (!kind->make)
		send_for_a_while(kind, shared, target, LONG_MAX);
	signal(SIGCHLD, SIG_DFL);
	while (!over()) {
		int status = 0;
		pid_t child = fork();
		if (child == 0)
			send_for_a_while(kind, shared, target, TURNS);
		/* One that happened to close the last one waits itself, and the next goes on. */
		for (double end = now() + 1; waitpid(child, &status, WNOHANG) == 0 && now() < end && !over();)
			nap(0.01);
		if (status != 0)
			_exit(1);
	}
	_exit(0);
}

static int descriptors(const char *name, const char *target)
{
	pid_t server = 0, senders[KIND_COUNT];
	int started = 0, shared = -1, count = HARMLESS_COUNT;
	const struct kind *kind = find_kind(name);
	if (kind && !kind->make && (shared = fuse_file(kind->fault, &server)) < 0) {
		printf("close=none of it here\n");
		return 0;
	}
	if (kind) {
		report_close(kind, shared);
		fflush(stdout);
	}
	/* It takes luck to have somebody else close the last one. */
	if (kind)
		count = strstr(name, "linger") ? 4 : 1;
	for (int i = 0; i < count; i++) {
		if ((senders[started++] = fork()) == 0)
			send_descriptors(kind ? kind : &KINDS[i], shared, target);
	}
	while (!over())
		nap(0.05);
	/* First whom all wait for: a sender that exits closes its own file. */
	if (server > 0)
		kill(server, SIGKILL);
	for (int i = 0; i < started; i++) {
		kill(senders[i], SIGKILL);
		waitpid(senders[i], NULL, 0);
	}
	printf("sent=%ld\nrefused=%ld\n", counts->sent, counts->refused);
	fflush(stdout);
	kill(0, SIGKILL);
	return 0;
}

/* --- floods --- */

/* Text of so many bytes. */
static void put_long(struct bytes *to, size_t length)
{
	char *text = malloc(length);
	memset(text, 'a', length);
	put_text(to, text, length);
	free(text);
}

static int reopen(int bus)
{
	if (bus >= 0)
		close(bus);
	counts->lost++;
	while ((bus = open_bus(25)) < 0 && !over())
		nap(0.1);
	return bus;
}

/* One call whose end is counted; the connection to go on with. */
static int count_call(int bus, struct call call, struct bytes *reply)
{
	char error[128] = "";
	size_t body;
	int done = ask(bus, call, NULL, reply, &body, error, sizeof error, 25);
	if (done == 2) {
		counts->answered++;
	} else if (done == 3) {
		if (counts->errors++ == 0)
			printf("error=%s\n", error);
	} else {
		return reopen(bus);
	}
	return bus;
}

/* D1: inhibitors whose texts are long. */
static void long_inhibitors(int size)
{
	struct bytes body = {0}, reply = {0};
	int bus = open_bus(25);
	keep_fds = 1;
	put_string(&body, "idle");
	put_long(&body, size);
	put_long(&body, size);
	put_string(&body, "block");
	while (!over()) {
		bus = count_call(bus, manager_call("Inhibit", "ssss", &body), &reply);
		nap(0.1);
	}
}

/* D2: a body to a method that takes none, which costs much to read. `kind`: av, aas, at, ay. */
static void bodies(const char *signature)
{
	enum { SIZE = 30 << 20 };
	struct bytes body = {0}, reply = {0};
	put_u32(&body, 0);
	while (body.length < SIZE) {
		if (strcmp(signature, "av") == 0) {
			put(&body, "\1y\0x", 4);
		} else if (strcmp(signature, "aas") == 0) {
			put_u32(&body, 0);
		} else {
			put(&body, NULL, 4096);
		}
	}
	uint32_t length = body.length - 4;
	memcpy(body.at, &length, 4);
	int bus = open_bus(25);
	while (!over())
		bus = count_call(bus, manager_call("ListSeats", signature, &body), &reply);
}

/* D4: a call of the bus' greatest length, whose path the error would say again. */
static void long_path(const char *what)
{
	enum { LARGEST = 32 << 20 };
	struct bytes reply = {0};
	size_t size = LARGEST;
	char *path = malloc(size + 1);
	memset(path, 'a', size);
	path[0] = '/';
	path[size] = 0;
	int bus = open_bus(25);
	struct call call = manager_call("ListSeats", "", NULL);
	/* The longest that the bus takes; one byte more and it closes the connection. */
	struct bytes probe = marshal(&(struct call){LOGIN1, "", MANAGER, "ListSeats", "", 0, NULL, 1, 0});
	path[size = LARGEST - probe.length + 7] = 0;
	free(probe.at);
	if (strcmp(what, "path") == 0) {
		call.path = path;
	} else if (strcmp(what, "member") == 0) {
		call.path = "/";
		path[0] = 'a';
		path[255] = 0;
		call.member = path;
	}
	while (!over())
		bus = count_call(bus, call, &reply);
}

/* D4: anybody's ListInhibitors, when there are three with long texts. */
static void long_list(void)
{
	struct bytes body = {0}, reply = {0};
	int keep[3];
	put_string(&body, "idle");
	put_long(&body, 12 << 20);
	put_string(&body, "x");
	put_string(&body, "block");
	for (int i = 0; i < 3; i++) {
		keep[i] = open_bus(25);
		struct call call = manager_call("Inhibit", "ssss", &body);
		call.serial = 7;
		/* The reply with the descriptor is never read, so that it stays open. */
		send_call(keep[i], &call, NULL);
	}
	int bus = open_bus(25);
	nap(1);
	while (!over()) {
		bus = count_call(bus, manager_call("ListInhibitors", "", NULL), &reply);
		nap(0.02);
	}
}

/* D5: descriptors that are counted from none, by which each message is a line in the log. */
static void bad_index(void)
{
	struct bytes body = {0};
	int bus = open_bus(25);
	put_u32(&body, 77);
	struct call call = manager_call("ListSeats", "h", &body);
	call.flags = NO_REPLY;
	while (!over()) {
		call.serial++;
		if (send_call(bus, &call, NULL) < 0)
			bus = reopen(bus);
		else
			counts->sent++;
	}
}

/* D3: many processes with a command line of 1.9 MB in the own session, and who asks for them. */
static void processes(const char *session)
{
	enum { SIZE = 120 << 10, WORDS = 16, PROCESSES = 45 };
	char **words = calloc(WORDS + 3, sizeof *words), unit[128];
	struct bytes body = {0}, reply = {0};
	words[0] = "sleep";
	words[1] = "600";
	for (int i = 0; i < WORDS; i++) {
		words[i + 2] = malloc(SIZE);
		memset(words[i + 2], '0', SIZE - 1);
		words[i + 2][SIZE - 1] = 0;
	}
	pid_t holder = fork();
	if (holder == 0) {
		/* The arguments stay those of the exec, for every fork of it too. */
		setenv("HOSTILE_FORKS", "45", 1);
		words[0] = "hostile";
		words[1] = "forks";
		execv("/proc/self/exe", words);
		die("execv");
	}
	snprintf(unit, sizeof unit, "session-%s.scope", session);
	put_string(&body, unit);
	nap(1);
	int bus = open_bus(25);
	struct call call = {"org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "GetUnitProcesses", "s", 0, &body, 0, 0};
	while (!over()) {
		bus = count_call(bus, call, &reply);
		nap(0.02);
	}
}

static void hold_forks(void)
{
	signal(SIGCHLD, SIG_IGN);
	for (int i = atoi(getenv("HOSTILE_FORKS")); i > 0 && fork() != 0; i--)
		;
	for (;;)
		pause();
}

/* D6: questions to polkit that an agent of one's own never answers. */
static void questions(void)
{
	struct bytes body = {0}, reply = {0};
	char stat[1024], error[128] = "";
	unsigned long long started = 0;
	uint32_t word;
	size_t at;
	int file = open("/proc/self/stat", O_RDONLY);
	ssize_t length = read(file, stat, sizeof stat - 1);
	stat[length > 0 ? length : 0] = 0;
	sscanf(strrchr(stat, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", &started);
	int agent = open_bus(25);
	/* (sa{sv}): the process that its agent is for, a locale, the agent's object. */
	put_string(&body, "unix-process");
	put_u32(&body, 0);
	size_t start_of_length = body.length - 4;
	align(&body, 8);
	size_t start = body.length;
	put_string(&body, "pid");
	put_signature(&body, "u");
	put_u32(&body, getpid());
	align(&body, 8);
	put_string(&body, "start-time");
	put_signature(&body, "t");
	align(&body, 8);
	uint64_t ticks = started;
	put(&body, &ticks, 8);
	align(&body, 8);
	put_string(&body, "uid");
	put_signature(&body, "i");
	put_u32(&body, getuid());
	word = body.length - start;
	memcpy(body.at + start_of_length, &word, 4);
	put_string(&body, "C");
	put_string(&body, "/silent");
	struct call registration = {"org.freedesktop.PolicyKit1", "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority", "RegisterAuthenticationAgent", "(sa{sv})ss", 0, &body, 0, 0};
	int done = ask(agent, registration, NULL, &reply, &at, error, sizeof error, 25);
	printf("agent=%s\n", done == 2 ? "registered" : error);
	/* Bus names ask for the process that this is, whose agent says nothing. */
	struct bytes arguments = {0};
	put_u32(&arguments, 0);
	int callers[4];
	uint32_t serial = 10;
	for (int i = 0; i < 4; i++) {
		callers[i] = open_bus(25);
		for (int question = 0; question < 100; question++) {
			struct call call = manager_call("PowerOff", "b", &arguments);
			call.flags = INTERACTIVE;
			call.serial = serial++;
			if (callers[i] < 0 || send_call(callers[i], &call, NULL) < 0) {
				counts->refused++;
				break;
			}
			counts->sent++;
		}
	}
	while (!over())
		nap(0.1);
}

/* Calls as fast as the bus takes them, whose replies nobody reads. */
static void calls(unsigned char flags)
{
	int bus = open_bus(25);
	struct call call = manager_call("ListSessions", "", NULL);
	call.flags = flags;
	while (!over()) {
		call.serial++;
		struct bytes message = marshal(&call);
		struct pollfd wait = {bus, POLLOUT, 0};
		if (poll(&wait, 1, 100) == 1 && send_all(bus, message.at, message.length, NULL, 0) < 0)
			bus = reopen(bus);
		else
			counts->sent++;
		free(message.at);
	}
}

/* SetDisplay with 32 MiB, on a session whose controller this is. */
static void set_display(const char *session)
{
	struct bytes no = {0}, type = {0}, display = {0}, reply = {0};
	char path[256], error[128] = "";
	size_t body;
	snprintf(path, sizeof path, LOGIN1_PATH "/session/%s", session);
	put_u32(&no, 0);
	put_string(&type, "x11");
	put_long(&display, 31 << 20);
	int bus = open_bus(25);
	struct call take = {LOGIN1, path, "org.freedesktop.login1.Session", "TakeControl", "b", 0, &no, 0, 0};
	struct call set = {LOGIN1, path, "org.freedesktop.login1.Session", "SetDisplay", "s", 0, &display, 0, 0};
	int done = ask(bus, take, NULL, &reply, &body, error, sizeof error, 25);
	printf("control=%s\n", done == 2 ? "taken" : error);
	/* Only a graphical session has one. */
	struct call graphical = {LOGIN1, path, "org.freedesktop.login1.Session", "SetType", "s", 0, &type, 0, 0};
	done = ask(bus, graphical, NULL, &reply, &body, error, sizeof error, 25);
	printf("type=%s\n", done == 2 ? "set" : error);
	while (!over()) {
		bus = count_call(bus, set, &reply);
		nap(0.2);
	}
}

/* T1: SetTTY with a terminal whose number is somebody else's, of a devpts of one's own. */
static void set_tty(const char *session)
{
	struct bytes no = {0}, index = {0}, reply = {0};
	char path[256], error[128] = "", map[64];
	int unlock = 0;
	size_t body;
	uid_t uid = geteuid();
	int bus = open_bus(25);
	snprintf(map, sizeof map, "%u %u 1", uid, uid);
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		die("unshare");
	write_file("/proc/self/setgroups", "deny");
	write_file("/proc/self/uid_map", map);
	write_file("/proc/self/gid_map", map);
	if (mount("devpts", "/tmp", "devpts", 0, "newinstance,ptmxmode=0666,mode=0600") < 0)
		die("devpts");
	int master = open("/tmp/ptmx", O_RDWR | O_NOCTTY);
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0)
		die("/tmp/ptmx");
	int slave = open("/tmp/0", O_RDWR | O_NOCTTY);
	if (slave < 0)
		die("/tmp/0");
	snprintf(path, sizeof path, LOGIN1_PATH "/session/%s", session);
	put_u32(&no, 0);
	put_u32(&index, 0);
	struct call take = {LOGIN1, path, "org.freedesktop.login1.Session", "TakeControl", "b", 0, &no, 0, 0};
	struct call set = {LOGIN1, path, "org.freedesktop.login1.Session", "SetTTY", "h", 0, &index, 0, 1};
	int done = ask(bus, take, NULL, &reply, &body, error, sizeof error, 25);
	printf("control=%s\n", done == 2 ? "taken" : error);
	done = ask(bus, set, &slave, &reply, &body, error, sizeof error, 25);
	printf("tty=%s\n", done == 2 ? "set" : done == 3 ? error : "lost");
}

/* Connections to a socket that are kept, as many as one gets. */
static void connections(const char *path)
{
	while (!over()) {
		int fd = connect_to(path, SOCK_STREAM);
		if (fd < 0 && (errno == EMFILE || errno == EAGAIN))
			nap(0.05);
		counts->sent += fd >= 0;
		counts->refused += fd < 0;
	}
}

/* Datagrams as fast as they are taken. */
static void notices(void)
{
	int fd = connect_to(NOTIFY, SOCK_DGRAM);
	static const char *const texts[] = {"STATUS=flood", "READY=1\nWATCHDOG=1", "no assignment", "\n\n=\n", "STATUS=\377\376"};
	for (long turn = 0; !over(); turn++) {
		const char *text = texts[turn % 5];
		if (send_with(fd, text, strlen(text), NULL, 0, 0) < 0)
			counts->refused++;
		else
			counts->sent++;
	}
}

static int flood(const char *name, const char *argument)
{
	pid_t child[3];
	int parallel = strncmp(name, "bod", 3) == 0 ? 3 : 1;
	for (int i = 0; i < parallel; i++) {
		if ((child[i] = fork()) != 0)
			continue;
		if (strcmp(name, "inhibitors") == 0)
			long_inhibitors(12 << 20);
		else if (strcmp(name, "short-inhibitors") == 0)
			long_inhibitors(1000);
		else if (strcmp(name, "bodies") == 0)
			bodies(argument);
		else if (strcmp(name, "long") == 0)
			long_path(argument);
		else if (strcmp(name, "list") == 0)
			long_list();
		else if (strcmp(name, "index") == 0)
			bad_index();
		else if (strcmp(name, "processes") == 0)
			processes(argument);
		else if (strcmp(name, "questions") == 0)
			questions();
		else if (strcmp(name, "calls") == 0)
			calls(0);
		else if (strcmp(name, "silent") == 0)
			calls(NO_REPLY);
		else if (strcmp(name, "display") == 0)
			set_display(argument);
		else if (strcmp(name, "tty") == 0)
			set_tty(argument);
		else if (strcmp(name, "connections") == 0)
			connections(argument);
		else if (strcmp(name, "notices") == 0)
			notices();
		else
			fprintf(stderr, "hostile: there is no flood %s\n", name);
		fflush(stdout);
		_exit(0);
	}
	double end = until + 2;
	while (now() < end) {
		int ended = 0;
		for (int i = 0; i < parallel; i++)
			ended += waitpid(child[i], NULL, WNOHANG) != 0;
		if (ended == parallel)
			break;
		nap(0.05);
	}
	printf("sent=%ld\nrefused=%ld\nanswered=%ld\nerrors=%ld\nlost=%ld\n", counts->sent, counts->refused, counts->answered, counts->errors, counts->lost);
	fflush(stdout);
	kill(0, SIGKILL);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "forks") == 0)
		hold_forks();
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	/* A group of its own, which ends whole. The caller sees a status of 137, and the lines. */
	setpgid(0, 0);
	struct rlimit files;
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (argc == 5 && strcmp(argv[1], "fds") == 0) {
		until = now() + atof(argv[4]);
		return descriptors(argv[2], argv[3]);
	}
	if (argc >= 3) {
		until = now() + atof(argv[2]);
		return flood(argv[1], argc > 3 ? argv[3] : "");
	}
	fprintf(stderr, "usage: hostile fds KIND TARGET SECONDS, or hostile FLOOD SECONDS [ARGUMENT]\n");
	return 2;
}
