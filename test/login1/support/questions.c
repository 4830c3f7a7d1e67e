/* Asks login1 for what takes a password, as often as it is told to, and waits for no answer:
 *
 *   questions COUNT SESSION
 *
 * It says "up", waits for a line of standard input, calls LockSession so often, each ready for a
 * prompt, and says what each error was as it comes. It ends with standard input. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

static void check(int result, const char *what) {
	if (result >= 0)
		return;
	fprintf(stderr, "questions: %s: %s\n", what, strerror(-result));
	exit(1);
}

static int on_reply(sd_bus_message *reply, void *data, sd_bus_error *unused) {
	(void) data;
	(void) unused;
	const sd_bus_error *error = sd_bus_message_get_error(reply);
	printf("%s\n", error ? error->name : "answered");
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv) {
	sd_bus *bus;
	char line[8];
	if (argc != 3)
		return 2;
	check(sd_bus_open_system(&bus), "open");
	printf("up\n");
	fflush(stdout);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (int i = atoi(argv[1]); i > 0; i--) {
		sd_bus_message *call;
		check(sd_bus_message_new_method_call(bus, &call, "org.freedesktop.login1",
						     "/org/freedesktop/login1",
						     "org.freedesktop.login1.Manager", "LockSession"),
		      "new");
		check(sd_bus_message_set_allow_interactive_authorization(call, 1), "flag");
		check(sd_bus_message_append(call, "s", argv[2]), "append");
		check(sd_bus_call_async(bus, NULL, call, on_reply, NULL, UINT64_MAX), "call");
		sd_bus_message_unref(call);
	}
	for (;;) {
		int result = sd_bus_process(bus, NULL);
		check(result, "process");
		struct pollfd watched[] = {{0, POLLIN, 0}, {sd_bus_get_fd(bus), POLLIN, 0}};
		if (result == 0 && poll(watched, 2, -1) > 0 && watched[0].revents)
			return 0;
	}
}
