/* Calls a method with so many descriptors of /dev/null as its arguments, and says which error came of it:
 *
 *   with-descriptors DESTINATION PATH INTERFACE MEMBER COUNT */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

static void check(int result, const char *what) {
	if (result >= 0)
		return;
	fprintf(stderr, "with-descriptors: %s: %s\n", what, strerror(-result));
	exit(1);
}

int main(int argc, char **argv) {
	sd_bus *bus;
	sd_bus_message *call, *reply = NULL;
	sd_bus_error error = SD_BUS_ERROR_NULL;
	if (argc != 6)
		return 2;
	check(sd_bus_open_system(&bus), "open");
	check(sd_bus_message_new_method_call(bus, &call, argv[1], argv[2], argv[3], argv[4]), "new");
	for (int i = atoi(argv[5]); i > 0; i--)
		check(sd_bus_message_append(call, "h", open("/dev/null", O_RDWR)), "append");
	int result = sd_bus_call(bus, call, 0, &error, &reply);
	printf("%s: %s\n", result < 0 ? error.name : "answered", result < 0 ? error.message : "");
	return 0;
}
