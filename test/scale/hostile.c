/* A client that means no good, on the system bus as whoever runs it:
 *
 *   hostile calls [COUNT]    sends calls as fast as the bus takes them, and reads no reply
 *   hostile silent [COUNT]   the same by calls that want no reply
 *   hostile busy             always has 64 calls on their way
 *   hostile inhibit COUNT    asks for so many inhibitors and keeps all that it gets
 *   hostile create COUNT     asks for so many sessions around itself
 *   hostile control COUNT PATH   TakeControl and TakeDevice on a session, so often each
 *
 * The first three say "sending" and go on, the first two after COUNT calls in silence,
 * until they are killed. The others print how
 * many calls were answered and how many failed by which error, one NAME=COUNT a line,
 * then "end", and keep what they have until standard input ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define LOGIN1 "org.freedesktop.login1"
#define PATH "/org/freedesktop/login1"
#define MOST_ERRORS 8
/* Calls on their way at a time: below the 128 replies that dbus-daemon lets one await. */
#define IN_FLIGHT 64

static sd_bus *bus;
static int answered, underway;
static struct {
	char name[128];
	int count;
} errors[MOST_ERRORS];

static void check(int result, const char *what) {
	if (result >= 0)
		return;
	fprintf(stderr, "hostile: %s: %s\n", what, strerror(-result));
	exit(1);
}

static int on_reply(sd_bus_message *reply, void *data, sd_bus_error *unused) {
	(void) data;
	(void) unused;
	const sd_bus_error *error = sd_bus_message_get_error(reply);
	underway--;
	if (!error) {
		/* A descriptor in it goes with the message, so that stays. */
		if (strchr(sd_bus_message_get_signature(reply, 1), 'h'))
			sd_bus_message_ref(reply);
		answered++;
		return 0;
	}
	for (int i = 0; i < MOST_ERRORS; i++) {
		if (errors[i].count == 0)
			snprintf(errors[i].name, sizeof(errors[i].name), "%s", error->name);
		if (strcmp(errors[i].name, error->name) == 0) {
			errors[i].count++;
			return 0;
		}
	}
	return 0;
}

static void drain(int most) {
	while (underway > most) {
		int result = sd_bus_process(bus, NULL);
		check(result, "process");
		if (result == 0)
			check(sd_bus_wait(bus, UINT64_MAX), "wait");
	}
}

static void sending(void) {
	printf("sending\n");
	fflush(stdout);
}

static void __attribute__((noreturn)) flood(int wants_reply, int count) {
	if (count == 0)
		sending();
	for (int sent = 0; count == 0 || sent < count; sent++) {
		sd_bus_message *message;
		check(sd_bus_message_new_method_call(bus, &message, LOGIN1, PATH,
						     LOGIN1 ".Manager", "ListSessions"),
		      "new");
		check(sd_bus_message_set_expect_reply(message, wants_reply), "flags");
		check(sd_bus_send(bus, message, NULL), "send");
		sd_bus_message_unref(message);
		/* Written when the bus takes it; what comes back is never read. */
		check(sd_bus_flush(bus), "flush");
	}
	sending();
	for (;;)
		pause();
}

static void call(const char *path, const char *interface, const char *member, const char *types, ...) {
	va_list arguments;
	sd_bus_message *message;
	check(sd_bus_message_new_method_call(bus, &message, LOGIN1, path, interface, member), "new");
	va_start(arguments, types);
	check(sd_bus_message_appendv(message, types, arguments), "append");
	va_end(arguments);
	check(sd_bus_call_async(bus, NULL, message, on_reply, NULL, UINT64_MAX), member);
	sd_bus_message_unref(message);
	underway++;
	drain(IN_FLIGHT);
}

int main(int argc, char **argv) {
	const char *mode = argc > 1 ? argv[1] : "";
	int count = argc > 2 ? atoi(argv[2]) : 0;
	check(sd_bus_open_system(&bus), "open");
	if (strcmp(mode, "calls") == 0)
		flood(1, count);
	if (strcmp(mode, "silent") == 0)
		flood(0, count);
	if (strcmp(mode, "busy") == 0) {
		sending();
		for (;;)
			call(PATH, LOGIN1 ".Manager", "ListSessions", "");
	}
	for (int i = 0; i < count; i++) {
		if (strcmp(mode, "inhibit") == 0) {
			call(PATH, LOGIN1 ".Manager", "Inhibit", "ssss", "sleep", "hostile", "to have them all",
			     "delay");
		} else if (strcmp(mode, "create") == 0) {
			call(PATH, LOGIN1 ".Manager", "CreateSession", "uusssssussbssa(sv)", getuid(), getpid(),
			     "hostile", "tty", "user", "", "", 0, "", "", 0, "", "", 0);
		} else if (strcmp(mode, "control") == 0 && argc == 4) {
			call(argv[3], LOGIN1 ".Session", "TakeControl", "b", 0);
			call(argv[3], LOGIN1 ".Session", "TakeDevice", "uu", 1, i % 16);
		}
	}
	drain(0);
	printf("answered=%d\n", answered);
	for (int i = 0; i < MOST_ERRORS && errors[i].count > 0; i++)
		printf("%s=%d\n", errors[i].name, errors[i].count);
	printf("end\n");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
