/* Asks login1 for a session that this process leads, by its pidfd; prints the name of the error. */
#include <stdio.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

int main(void) {
  sd_bus *bus = NULL;
  sd_bus_error error = SD_BUS_ERROR_NULL;
  int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
  if (pidfd < 0 || sd_bus_open_system(&bus) < 0)
    return 2;
  int called = sd_bus_call_method(
      bus, "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
      "CreateSessionWithPIDFD", &error, NULL, "uhsssssussbssta(sv)", (uint32_t)getuid(), pidfd, "test",
      "tty", "user", "", "", (uint32_t)0, "", "", 0, "", "", (uint64_t)0, 0);
  puts(called < 0 ? error.name : "none");
  sd_bus_error_free(&error);
  sd_bus_unref(bus);
  return 0;
}
