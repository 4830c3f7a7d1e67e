/*
 * Sends messages that are wrong in every way that chance finds, with descriptors of every kind that the
 * kernel has, and sees that each right one is answered.
 *
 * fuzz bus SEED COUNT MEMBERS            by the system bus, to login1
 * fuzz transport SEED COUNT MEMBERS PATH as the bus itself, which listens at PATH, so that a message
 *                                        comes to login1 as it is
 * fuzz varlink SEED COUNT PATH
 * fuzz notify SEED COUNT PATH
 * fuzz fdstore SEED COUNT PATH
 *
 * MEMBERS is a file of lines INTERFACE, a tab, MEMBER, a tab, SIGNATURE. What message there is depends
 * on SEED and its number alone. Prints how many were sent and answered, one NAME=VALUE a line, and
 * ends with 1 and a line that says which message was not answered.
 */
#include "../../testbed/live/security/programs/kinds.h"
#include <stdarg.h>
#include <sys/resource.h>

/* A right call is answered within this, in seconds. */
#define PATIENCE 20.0
/* So many at once, below what dbus-daemon lets one wait for (128). */
#define BATCH 64
/* No array gets longer elements after so many bytes. */
#define LONG_BODY 100000

static uint64_t seed, state;
static long sent, answered, refused, dropped, with_fds;

static uint64_t chance(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned pick(unsigned count) { return chance() % count; }
static int once_in(unsigned count) { return pick(count) == 0; }

/* Has what follows depend on the seed and this number only. */
static void begin(long number)
{
	state = seed * 0x9e3779b97f4a7c15u + (uint64_t)number * 0xbf58476d1ce4e5b9u + 1;
	for (int i = 0; i < 8; i++)
		chance();
}

static void __attribute__((noreturn, format(printf, 2, 3))) fail(long number, const char *format, ...)
{
	va_list arguments;
	printf("sent=%ld\nanswered=%ld\n", sent, answered);
	printf("failed=message %ld of seed %llu: ", number, (unsigned long long)seed);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	exit(1);
}

/* --- descriptors --- */

static int cache[HARMLESS_COUNT];

/* New ones of all kinds; what one of a kind does to another is of interest too. */
static void fill_cache(void)
{
	int pair[2];
	if (unix_pair(SOCK_STREAM, pair) < 0)
		die("socketpair");
	for (int i = 0; i < HARMLESS_COUNT; i++) {
		if (cache[i] > 0)
			close(cache[i]);
		cache[i] = KINDS[i].make();
		/* Not one that this kernel or this user has none of, or that cannot be sent (io_uring). */
		if (cache[i] >= 0 && send_with(pair[0], "x", 1, &cache[i], 1, 0) < 0) {
			close(cache[i]);
			cache[i] = -1;
		}
		if (cache[i] < 0)
			cache[i] = kind_eventfd();
	}
	close(pair[0]);
	close(pair[1]);
}

static int some_fds(int *fds, int most)
{
	int count = 1 + pick(most);
	for (int i = 0; i < count; i++)
		fds[i] = cache[pick(HARMLESS_COUNT)];
	with_fds += count;
	return count;
}

/* As `send_all`; without the descriptors where the other side has the kernel refuse them (SO_PASSRIGHTS). */
static int send_either(int socket, const void *data, size_t length, const int *fds, int count)
{
	int done = send_all(socket, data, length, fds, count);
	if (done == 0 || errno != EPERM || count == 0)
		return done;
	refused++;
	return send_all(socket, data, length, NULL, 0);
}

/* --- texts --- */

static const char *const TEXTS[] = {
	"", "self", "auto", "seat0", "seat1", "1", "c1", "-1", "0", "4294967296", "root", "liveuser", "shutdown", "sleep:idle",
	"sleep", "idle", "handle-power-key", "block", "delay", "block-weak", "poweroff", "reboot", "dry-poweroff", "all", "leader",
	"../../etc/passwd", "/", "/org/freedesktop/login1", "/org/freedesktop/login1/session/self", "/org/freedesktop/login1/seat/seat0",
	"/sys/class/net/lo", "backlight", "leds", "org.freedesktop.login1.Manager", "org.freedesktop.login1.Session", "IdleHint",
	"a b", "a\nb", "a\tb", "\x1b]0;x\x07", "\xe2\x80\xae", "\xf0\x9f\x98\x80", "%s%n", "$(id)", "';--", "session-1.scope", "user-0.slice",
	"__proto__", "constructor", "toString", "hasOwnProperty", "x11", "wayland", "tty", "user", "manager", "greeter",
};
#define TEXT_COUNT (sizeof TEXTS / sizeof *TEXTS)

static const char *some_text(void)
{
	static char text[1 << 17];
	if (!once_in(12))
		return TEXTS[pick(TEXT_COUNT)];
	size_t length = once_in(200) ? pick(sizeof text - 1) : pick(300);
	for (size_t i = 0; i < length; i++)
		text[i] = once_in(3) ? "/._-=\n\"\\ "[pick(9)] : (char)(97 + pick(26));
	text[length] = 0;
	return text;
}

static const char *some_path(void)
{
	static const char *const paths[] = {
		LOGIN1_PATH, LOGIN1_PATH, LOGIN1_PATH, LOGIN1_PATH "/session/self", LOGIN1_PATH "/session/auto", LOGIN1_PATH "/seat/seat0",
		LOGIN1_PATH "/seat/self", LOGIN1_PATH "/user/self", LOGIN1_PATH "/user/_0", LOGIN1_PATH "/user/_65534", LOGIN1_PATH "/session/_31",
		LOGIN1_PATH "/session", LOGIN1_PATH "/session/_zz", "/", "/org", "/org/freedesktop/systemd1", LOGIN1_PATH "/session/__proto__",
	};
	return paths[pick(sizeof paths / sizeof *paths)];
}

/* --- D-Bus --- */

struct member {
	char interface[64], name[64], signature[64];
};
static struct member *members;
static int member_count;

static void read_members(const char *path)
{
	char line[256];
	FILE *file = fopen(path, "r");
	if (!file)
		die(path);
	while (fgets(line, sizeof line, file)) {
		members = realloc(members, (member_count + 1) * sizeof *members);
		struct member *one = &members[member_count];
		memset(one, 0, sizeof *one);
		if (sscanf(line, "%63[^\t]\t%63[^\t\n]\t%63[^\t\n]", one->interface, one->name, one->signature) >= 2)
			member_count++;
	}
	fclose(file);
}

static uint32_t some_number(void)
{
	static const uint32_t edges[] = {0, 1, 2, 7, 9, 255, 256, 1000, 65534, 65535, 65536, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
	return once_in(4) ? (uint32_t)chance() : edges[pick(sizeof edges / sizeof *edges)];
}

static size_t boundary_of(char type)
{
	return strchr("xtd({", type) ? 8 : strchr("suioabh", type) ? 4 : strchr("nq", type) ? 2 : 1;
}

/* The end of the one type at the start of a signature. */
static const char *type_end(const char *type)
{
	while (*type == 'a')
		type++;
	if (*type != '(' && *type != '{')
		return type + 1;
	for (int depth = 0;;) {
		if (*type == '(' || *type == '{')
			depth++;
		else if (*type == ')' || *type == '}')
			depth--;
		type++;
		if (depth == 0)
			return type;
	}
}

/* Writes a value of a type; returns where the type ends. */
static const char *some_value(struct bytes *to, const char *type, int fds, int depth)
{
	const char *end = type_end(type);
	align(to, boundary_of(*type));
	switch (*type) {
	case 's':
		put_string(to, some_text());
		break;
	case 'o':
		put_string(to, some_path());
		break;
	case 'g':
		put_signature(to, once_in(2) ? "a{sv}" : "");
		break;
	case 'b':
		put_u32(to, pick(2));
		break;
	case 'h':
		put_u32(to, fds > 0 && !once_in(10) ? pick(fds) : some_number());
		break;
	case 'u':
	case 'i':
		put_u32(to, some_number());
		break;
	case 'n':
	case 'q': {
		uint16_t value = some_number();
		put(to, &value, 2);
		break;
	}
	case 'x':
	case 't':
	case 'd': {
		uint64_t value = once_in(2) ? chance() : some_number();
		put(to, &value, 8);
		break;
	}
	case 'v': {
		static const char *const inside[] = {"s", "u", "b", "as", "a{sv}", "h", "t", "(su)", "v", "ay", "d"};
		/* No deeper than dbus-daemon lets one nest them. */
		const char *chosen = depth > 8 ? "u" : inside[pick(sizeof inside / sizeof *inside)];
		put_signature(to, chosen);
		some_value(to, chosen, fds, depth + 1);
		break;
	}
	case 'a': {
		put_u32(to, 0);
		size_t length_at = to->length - 4;
		align(to, boundary_of(type[1]));
		size_t start = to->length;
		for (int count = depth > 8 ? 0 : once_in(50) ? pick(2000) : pick(5); count > 0 && to->length < LONG_BODY; count--)
			some_value(to, type + 1, fds, depth + 2);
		uint32_t length = to->length - start;
		memcpy(to->at + length_at, &length, 4);
		break;
	}
	case '(':
	case '{':
		for (const char *at = type + 1; at < end - 1;)
			at = some_value(to, at, fds, depth + 1);
		break;
	default:
		put(to, "x", 1);
	}
	return end;
}

static const char *const SIGNATURES[] = {
	"", "s", "u", "b", "ss", "ssb", "h", "hh", "ah", "as", "aas", "av", "a{sv}", "a(sv)", "(su)", "v", "t", "ay", "ssss", "sa{sv}as", "ub", "xd",
	"a{s(ah)}", "aaaaaaaas", "y", "nq", "g", "o", "ao",
};

static char described[256];
/* Whether messages have descriptors at all. */
static int have_fds = 1;

/* A message, its descriptors in `fds`; whether it is one that has to be answered. */
static struct bytes some_message(uint32_t serial, const char *sender, int *fds, int *count, int *wants_answer)
{
	const struct member *member = &members[pick(member_count)];
	struct bytes body = {0};
	struct call call = {.destination = sender ? ":1.1" : LOGIN1, .path = some_path(), .interface = member->interface, .member = member->name,
			    .signature = member->signature, .serial = serial, .sender = sender};
	if (strcmp(member->interface, "org.freedesktop.systemd1.Manager") == 0) {
		call.destination = sender ? ":1.1" : "org.freedesktop.systemd1";
		call.path = "/org/freedesktop/systemd1";
	}
	/* Half of them at the path where the interface is. */
	if (strstr(member->interface, ".Manager") && once_in(2) && strstr(member->interface, "login1"))
		call.path = LOGIN1_PATH;
	if (once_in(4))
		call.signature = SIGNATURES[pick(sizeof SIGNATURES / sizeof *SIGNATURES)];
	if (once_in(10))
		call.interface = NULL;
	if (once_in(30))
		call.member = "NoSuchMember";
	call.flags = (once_in(10) ? NO_REPLY : 0) | (once_in(8) ? INTERACTIVE : 0) | (once_in(20) ? 2 : 0);
	if (once_in(sender ? 12 : 40))
		call.type = 2 + pick(3);
	if (call.type == 4 && !call.interface)
		call.interface = member->interface;
	if (call.type == 2 || call.type == 3) {
		call.reply_to = some_number() | 1;
		if (call.type == 3)
			call.error = "org.freedesktop.DBus.Error.Failed";
	}
	*count = strchr(call.signature, 'h') || once_in(60) ? some_fds(fds, once_in(10) ? 16 : 2) : 0;
	if (!have_fds || once_in(50))
		*count = 0;
	for (const char *at = call.signature; *at;)
		at = some_value(&body, at, *count, 0);
	call.body = &body;
	call.fds = *count;
	struct bytes message = marshal(&call);
	free(body.at);
	*wants_answer = call.type == 0 && !(call.flags & NO_REPLY);
	snprintf(described, sizeof described, "%s.%s(%s) of %s with %d descriptors", call.interface ? call.interface : "", call.member,
		 call.signature, call.path, *count);
	return message;
}

/* Changes some bytes, none of those that say how long the message is. */
static void spoil(struct bytes *message, size_t from)
{
	if (message->length <= from)
		return;
	for (int count = 1 + pick(4); count > 0; count--) {
		size_t at = from + pick(message->length - from);
		switch (pick(3)) {
		case 0:
			message->at[at] ^= 1 << pick(8);
			break;
		case 1:
			message->at[at] = chance();
			break;
		default:
			message->at[at] = 0;
		}
	}
}

static char waiting[BATCH];
static long numbers[BATCH];
/* What each was, for the line that says which has no answer. */
static char what[BATCH][256];

/* Takes note of an answer to one of the batch, whose serials begin at `first`. */
static int note(uint32_t first, uint32_t serial)
{
	if (serial < first || serial >= first + BATCH || !waiting[serial - first])
		return 0;
	waiting[serial - first] = 0;
	answered++;
	return 1;
}

static int count_waiting(void)
{
	int count = 0;
	for (int i = 0; i < BATCH; i++)
		count += waiting[i];
	return count;
}

static void await_all(int fd, uint32_t first, int (*handle)(int, struct bytes *, size_t))
{
	struct bytes message = {0};
	size_t body = 0;
	double until = now() + PATIENCE;
	while (count_waiting() > 0) {
		uint32_t serial = 0;
		if (next_message(fd, &message, &body, until) < 0) {
			for (int i = 0; i < BATCH; i++)
				if (waiting[i])
					fail(numbers[i], "%s: a right call has no answer: %s", what[i], strerror(errno));
		}
		if (handle && handle(fd, &message, body))
			continue;
		if ((message.at[1] == 2 || message.at[1] == 3) && find_field(&message, 5, &serial, NULL, 0))
			note(first, serial);
	}
	free(message.at);
}

static void by_bus(long count)
{
	int bus = -1, fds[MOST_FDS];
	uint32_t serial = 2;
	for (long number = 0; number < count;) {
		if (number % 4096 < BATCH)
			fill_cache();
		if (bus < 0 && (bus = open_bus(PATIENCE)) < 0)
			fail(number, "no connection to the bus: %s", strerror(errno));
		uint32_t first = serial;
		int lost = 0;
		memset(waiting, 0, sizeof waiting);
		for (int i = 0; i < BATCH && number < count && !lost; i++, number++, serial++) {
			int fd_count, wants;
			begin(number);
			struct bytes message = some_message(serial, NULL, fds, &fd_count, &wants);
			int spoiled = once_in(400);
			if (spoiled)
				spoil(&message, 16);
			if (send_all(bus, message.at, message.length, fds, fd_count) < 0)
				lost = 1;
			/* The bus may end the connection over a spoiled one at any time. */
			if (spoiled)
				lost = 1;
			waiting[i] = wants && !spoiled;
			numbers[i] = number;
			strcpy(what[i], described);
			sent++;
			free(message.at);
		}
		if (lost) {
			dropped++;
			close(bus);
			bus = -1;
			continue;
		}
		/* At the end a plain call, whose answer comes when all before it are done with. */
		await_all(bus, first, NULL);
	}
	/* Whoever has spoiled all of them has also to see that the last is alive. */
	if (bus < 0 && (bus = open_bus(PATIENCE)) < 0)
		fail(count, "no connection to the bus: %s", strerror(errno));
	struct bytes reply = {0};
	size_t body = 0;
	if (ask(bus, manager_call("ListSeats", "", NULL), NULL, &reply, &body, NULL, 0, PATIENCE) != 2)
		fail(count, "ListSeats has no answer");
}

/* --- as the bus itself --- */

static int answer_as_bus(int fd, struct bytes *message, size_t body)
{
	(void)body;
	if (message->at[1] != 1)
		return 0;
	char member[256] = "", destination[256] = "";
	uint32_t serial;
	struct bytes value = {0};
	memcpy(&serial, message->at + 8, 4);
	find_field(message, 3, NULL, member, sizeof member);
	find_field(message, 6, NULL, destination, sizeof destination);
	struct call reply = {.type = 2, .flags = NO_REPLY, .serial = 1000000, .reply_to = serial, .sender = "org.freedesktop.DBus", .destination = ":1.1", .body = &value, .signature = ""};
	if (strcmp(destination, "org.freedesktop.DBus") != 0) {
		reply.type = 3;
		reply.error = "org.freedesktop.DBus.Error.ServiceUnknown";
	} else if (strcmp(member, "Hello") == 0) {
		reply.signature = "s";
		put_string(&value, ":1.1");
	} else if (strcmp(member, "RequestName") == 0) {
		reply.signature = "u";
		put_u32(&value, 1);
	} else if (strcmp(member, "GetNameOwner") == 0) {
		reply.type = 3;
		reply.error = "org.freedesktop.DBus.Error.NameHasNoOwner";
	} else if (strcmp(member, "GetConnectionUnixProcessID") == 0 || strcmp(member, "GetConnectionUnixUser") == 0) {
		reply.signature = "u";
		put_u32(&value, strstr(member, "User") ? 65534 : (uint32_t)getpid());
	} else if (strcmp(member, "GetConnectionCredentials") == 0) {
		reply.signature = "a{sv}";
		put_u32(&value, 0);
		align(&value, 8);
		size_t start = value.length;
		put_string(&value, "UnixUserID");
		put_signature(&value, "u");
		put_u32(&value, 65534);
		align(&value, 8);
		put_string(&value, "ProcessID");
		put_signature(&value, "u");
		put_u32(&value, getpid());
		uint32_t length = value.length - start;
		memcpy(value.at, &length, 4);
	}
	struct bytes all = marshal(&reply);
	if (!(message->at[2] & NO_REPLY) && send_all(fd, all.at, all.length, NULL, 0) < 0)
		die("an answer to login1");
	free(all.at);
	free(value.at);
	return 1;
}

/* Accepts login1 and lets it say hello, until it has taken its name. */
static int accept_login1(int listener)
{
	struct pollfd wait = {listener, POLLIN, 0};
	if (poll(&wait, 1, PATIENCE * 1000) != 1)
		fail(sent, "login1 does not connect");
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	double until = now() + PATIENCE;
	char byte;
	for (int lines = 0; lines < 3; lines += byte == '\n')
		if (read_exactly(fd, &byte, 1, until) < 0)
			die("authentication");
	static const char answer[] = "OK 0123456789abcdef0123456789abcdef\r\nAGREE_UNIX_FD\r\n";
	if (send_all(fd, answer, sizeof answer - 1, NULL, 0) < 0)
		die("authentication");
	struct bytes message = {0};
	size_t body = 0;
	for (char member[256] = ""; strcmp(member, "RequestName") != 0;) {
		if (next_message(fd, &message, &body, until) < 0)
			die("login1's first calls");
		find_field(&message, 3, NULL, member, sizeof member);
		answer_as_bus(fd, &message, body);
	}
	free(message.at);
	return fd;
}

static void as_bus(long count, const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fds[MOST_FDS], listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t serial = 2;
	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 4) < 0)
		die(path);
	printf("listening\n");
	fflush(stdout);
	int login1 = accept_login1(listener), turn = 0;
	for (long number = 0; number < count;) {
		char sender[32];
		uint32_t first = serial;
		if (number % 4096 < BATCH)
			fill_cache();
		memset(waiting, 0, sizeof waiting);
		/*
		 * How many descriptors are whose is the bus' word, and one that is wrong has the next message
		 * get those of another. So it is believed, and only messages without any are spoiled.
		 */
		have_fds = turn++ % 2;
		for (int i = 0; i < BATCH - 1 && number < count; i++, number++, serial++) {
			int fd_count, wants;
			begin(number);
			/* Many, since one that sends too much is refused. */
			snprintf(sender, sizeof sender, ":1.%u", 2 + pick(200));
			struct bytes message = some_message(serial, sender, fds, &fd_count, &wants);
			int spoiled = !have_fds && !once_in(8);
			if (spoiled) {
				spoil(&message, 16);
				/* The serial too, now and then; the lengths and the byte order stay. */
				if (once_in(20))
					memset(message.at + 8, 0, 4);
				message.at[1] = once_in(20) ? chance() : message.at[1];
			}
			if (send_all(login1, message.at, message.length, fds, fd_count) < 0)
				fail(number, "login1 ended the connection: %s", strerror(errno));
			waiting[i] = wants && !spoiled;
			numbers[i] = number;
			strcpy(what[i], described);
			sent++;
			free(message.at);
		}
		/* A plain one at the end of each: nothing spoiled is left then that could take descriptors. */
		struct call call = manager_call("ListSeats", "", NULL);
		call.sender = ":1.7";
		call.serial = serial = first + BATCH - 1;
		serial++;
		waiting[BATCH - 1] = 1;
		numbers[BATCH - 1] = number;
		strcpy(what[BATCH - 1], "ListSeats");
		if (send_call(login1, &call, NULL) < 0)
			fail(number, "login1 ended the connection");
		await_all(login1, first, answer_as_bus);
	}
}

/* --- varlink --- */

static void some_json(struct bytes *to, int depth)
{
	char number[32];
	switch (pick(depth > 6 ? 5 : 7)) {
	case 0:
		put(to, once_in(2) ? "true" : "null", 4);
		break;
	case 1:
		put(to, number, snprintf(number, sizeof number, once_in(4) ? "%d.5" : once_in(6) ? "%de30" : "%d", (int)some_number()));
		break;
	case 2:
	case 3:
	case 4: {
		put(to, "\"", 1);
		for (const char *text = some_text(); *text; text++) {
			if (*text == '"' || *text == '\\' || (unsigned char)*text < 32)
				put(to, number, snprintf(number, sizeof number, "\\u%04x", *text));
			else
				put(to, text, 1);
		}
		put(to, "\"", 1);
		break;
	}
	case 5:
		put(to, "[", 1);
		for (int count = pick(4); count > 0; count--) {
			some_json(to, depth + 1);
			put(to, ",", count > 1);
		}
		put(to, "]", 1);
		break;
	default:
		put(to, "{", 1);
		for (int count = pick(4); count > 0; count--) {
			put(to, number, snprintf(number, sizeof number, "\"%s\":", (const char *[]){"UID", "PID", "pid", "__proto__", "Id", "x"}[pick(6)]));
			some_json(to, depth + 1);
			put(to, ",", count > 1);
		}
		put(to, "}", 1);
	}
}

/* A call in varlink; whether it has one answer. */
static int some_varlink(struct bytes *to)
{
	static const char *const methods[] = {
		"io.systemd.Login.CreateSession", "io.systemd.Login.ReleaseSession", "org.varlink.service.GetInfo",
		"io.systemd.Login.ListSessions", "io.systemd.Login.ListUsers", "io.systemd.Login.ListSeats", "io.systemd.Login.ListInhibitors",
		"org.varlink.service.GetInterfaceDescription", "io.systemd.Login.NoSuch", "no.such.Interface", "x", "", ".", "__proto__.constructor",
	};
	static const char *const keys[] = {
		"UID", "PID", "Service", "Type", "Class", "Desktop", "Seat", "VTNr", "TTY", "Display", "Remote", "RemoteUser", "RemoteHost",
		"ExtraDeviceAccess", "Id", "interface", "__proto__", "toString", "x",
	};
	char text[128];
	int oneway = once_in(20), more = !oneway && once_in(20);
	to->length = 0;
	put(to, text, snprintf(text, sizeof text, "{\"method\":\"%s\"%s%s", methods[pick(14)], oneway ? ",\"oneway\":true" : "", more ? ",\"more\":true" : ""));
	if (!once_in(4)) {
		put(to, ",\"parameters\":{", 15);
		/* Each key once: of two the later counts. */
		int first = pick(19), count = pick(8);
		for (int i = 0; i < count; i++) {
			put(to, text, snprintf(text, sizeof text, "%s\"%s\":", i ? "," : "", keys[(first + i) % 19]));
			some_json(to, 0);
		}
		put(to, "}", 1);
	}
	put(to, "}", 2);
	return !oneway;
}

/* Waits for so many NULs; how many came before the end or the time. */
static int await_nuls(int fd, int count, double until, int *ended)
{
	char bytes[65536];
	int found = 0;
	*ended = 0;
	while (found < count) {
		struct pollfd wait = {fd, POLLIN, 0};
		double left = until - now();
		if (left <= 0 || poll(&wait, 1, (int)(left * 1000) + 1) != 1)
			return found;
		ssize_t got = recv(fd, bytes, sizeof bytes, 0);
		if (got <= 0) {
			*ended = 1;
			return found;
		}
		for (ssize_t i = 0; i < got; i++)
			found += bytes[i] == 0;
	}
	return found;
}

static void by_varlink(long count, const char *path)
{
	struct bytes message = {0};
	int fds[MOST_FDS];
	for (long number = 0; number < count;) {
		int fd = connect_to(path, SOCK_STREAM), expected = 0, spoiled = 0, ended;
		long first = number;
		if (fd < 0)
			fail(number, "no connection: %s", strerror(errno));
		if (number % 4096 < 16)
			fill_cache();
		for (int i = 0; i < 16 && number < count; i++, number++) {
			begin(number);
			int has_answer = some_varlink(&message);
			/* More than is read is the end of the connection. */
			spoiled |= message.length > 65536;
			if (once_in(60)) {
				spoil(&message, 0);
				spoiled = 1;
			}
			int fd_count = once_in(30) ? some_fds(fds, once_in(20) ? 250 : 4) : 0;
			/* In two halves, now and then. */
			size_t half = once_in(5) ? pick(message.length) : 0;
			sent++;
			if ((half && send_all(fd, message.at, half, NULL, 0) < 0) || send_either(fd, message.at + half, message.length - half, fds, fd_count) < 0) {
				if (!spoiled)
					fail(number, "the connection ended over a right call");
				number++;
				break;
			}
			expected += has_answer;
		}
		int found = await_nuls(fd, expected, now() + PATIENCE, &ended);
		answered += found;
		if (found < expected && !spoiled)
			fail(first, "%d of %d right calls have an answer", found, expected);
		if (found < expected && !ended) {
			/* Spoiled ones may have become one message or two: a right one at the end is answered, or it is over. */
			static const char ping[] = "\0{\"method\":\"org.varlink.service.GetInfo\"}";
			if (send_all(fd, ping, sizeof ping, NULL, 0) == 0 && await_nuls(fd, 1, now() + PATIENCE, &ended) == 0 && !ended)
				fail(first, "a right call after spoiled ones has no answer");
		}
		close(fd);
	}
	free(message.at);
}

/* --- sd_notify --- */

static void await_barrier(int fd, long number)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		die("pipe");
	if (send_with(fd, "BARRIER=1", 9, ends + 1, 1, 0) < 0)
		fail(number, "no BARRIER can be sent: %s", strerror(errno));
	close(ends[1]);
	struct pollfd wait = {ends[0], 0, 0};
	if (poll(&wait, 1, PATIENCE * 1000) != 1)
		fail(number, "a BARRIER has no answer");
	close(ends[0]);
	answered++;
}

static void by_notify(long count, const char *path)
{
	static const char *const names[] = {
		"READY", "STATUS", "STOPPING", "RELOADING", "MONOTONIC_USEC", "ERRNO", "BUSERROR", "VARLINKERROR", "EXIT_STATUS", "MAINPID", "MAINPIDFDID",
		"MAINPIDFD", "WATCHDOG", "WATCHDOG_USEC", "EXTEND_TIMEOUT_USEC", "FDSTORE", "FDSTOREREMOVE", "FDNAME", "FDPOLL", "BARRIER", "NOTIFYACCESS",
		"X_MINE", "", "=", "__proto__",
	};
	struct bytes message = {0};
	int fds[MOST_FDS], fd = connect_to(path, SOCK_DGRAM);
	if (fd < 0)
		die(path);
	for (long number = 0; number < count; number++) {
		begin(number);
		message.length = 0;
		if (number % 4096 == 0)
			fill_cache();
		for (int lines = 1 + pick(once_in(30) ? 60 : 4); lines > 0; lines--) {
			const char *name = names[pick(sizeof names / sizeof *names)];
			char value[32];
			put(&message, name, strlen(name));
			put(&message, "=", 1);
			if (once_in(2)) {
				put(&message, value, snprintf(value, sizeof value, "%d", (int)some_number()));
			} else {
				const char *text = some_text();
				put(&message, text, strlen(text));
			}
			put(&message, "\n", lines > 1 || once_in(2));
		}
		if (once_in(4))
			spoil(&message, 0);
		int fd_count = once_in(25) ? some_fds(fds, once_in(20) ? 250 : 3) : 0;
		if (send_with(fd, message.at, once_in(200) ? 0 : message.length, fds, fd_count, 0) < 0) {
			if (errno != EMSGSIZE && errno != ETOOMANYREFS)
				fail(number, "it takes no datagram: %s", strerror(errno));
			refused++;
		}
		sent++;
		if (number % 256 == 255)
			await_barrier(fd, number);
	}
	await_barrier(fd, count);
	free(message.at);
}

/* --- the descriptor store --- */

static void by_fdstore(long count, const char *path)
{
	struct bytes message = {0};
	int fds[MOST_FDS];
	for (long number = 0; number < count; number++) {
		static const char *const keys[] = {"do", "service", "name", "x", "__proto__"};
		static const char *const orders[] = {"\"fetch\"", "\"list\"", "\"remove\"", "\"x\"", "1", "null"};
		char text[64];
		if (number % 4096 == 0)
			fill_cache();
		begin(number);
		int fd = connect_to(path, SOCK_STREAM), ended;
		if (fd < 0)
			fail(number, "no connection: %s", strerror(errno));
		message.length = 0;
		put(&message, "{", 1);
		for (int i = 0, parts = pick(4); i < parts; i++) {
			const char *key = keys[pick(5)];
			put(&message, text, snprintf(text, sizeof text, "%s\"%s\":", i ? "," : "", key));
			if (*key == 'd' && !once_in(8)) {
				const char *order = orders[pick(6)];
				put(&message, order, strlen(order));
			} else {
				some_json(&message, 4);
			}
		}
		put(&message, "}", 1);
		if (once_in(4))
			spoil(&message, 0);
		int whole = !once_in(10);
		put(&message, "\n", whole);
		int fd_count = once_in(25) ? some_fds(fds, once_in(20) ? 250 : 4) : 0;
		sent++;
		/* It ends the connection as soon as it has said that this is no request. */
		int done = send_either(fd, message.at, message.length, fds, fd_count);
		if (whole || message.length > 1100) {
			char byte = 0;
			double until = now() + PATIENCE;
			while (byte != '\n' && read_exactly(fd, &byte, 1, until) == 0)
				;
			if (byte == '\n')
				answered++;
			else if (errno != EPIPE && errno != ECONNRESET && done == 0)
				fail(number, "a request has no answer: %s", strerror(errno));
			else
				dropped++;
		} else if (once_in(2)) {
			shutdown(fd, SHUT_WR);
			await_nuls(fd, 1, now() + PATIENCE, &ended);
			if (!ended)
				fail(number, "half a request is waited for after its end");
		}
		close(fd);
	}
	free(message.at);
}

int main(int argc, char **argv)
{
	struct rlimit files = {65536, 65536};
	if (argc < 5)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	setrlimit(RLIMIT_NOFILE, &files);
	seed = strtoull(argv[2], NULL, 10);
	long count = atol(argv[3]);
	if (strcmp(argv[1], "bus") == 0) {
		read_members(argv[4]);
		by_bus(count);
	} else if (strcmp(argv[1], "transport") == 0 && argc > 5) {
		read_members(argv[4]);
		as_bus(count, argv[5]);
	} else if (strcmp(argv[1], "varlink") == 0) {
		by_varlink(count, argv[4]);
	} else if (strcmp(argv[1], "notify") == 0) {
		by_notify(count, argv[4]);
	} else if (strcmp(argv[1], "fdstore") == 0) {
		by_fdstore(count, argv[4]);
	} else {
		return 2;
	}
	printf("sent=%ld\nanswered=%ld\nrefused=%ld\ndropped=%ld\nwith_fds=%ld\n", sent, answered, refused, dropped, with_fds);
	return 0;
}
