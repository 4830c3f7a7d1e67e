/*
 * A controller of a session by the real sd-bus: device-holder SESSION-PATH NODE...
 * Takes control and each device, tells what becomes of them, and for an event or hidraw node what a
 * read of the file that it holds gives.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#define MOST 8
static const char *const LOGIN1 = "org.freedesktop.login1";
static const char *const SESSION = "org.freedesktop.login1.Session";
static struct {
  const char *node;
  dev_t number;
  int fd;
} devices[MOST];
static int count;
static const char *path;

static void fail(const char *what, int error, const sd_bus_error *said) {
  printf("%s: %s (%s)\n", what, strerror(-error), said && said->name ? said->name : "no name");
  exit(1);
}

/* What reading the file that we hold gives, without waiting. */
static const char *reading(int fd) {
  char buffer[4096];
  for (;;) {
    ssize_t got = read(fd, buffer, sizeof buffer);
    if (got > 0) continue;
    return got == 0 ? "EOF" : errno == EAGAIN ? "EAGAIN" : errno == ENODEV ? "ENODEV" : strerror(errno);
  }
}

static int find(unsigned major_number, unsigned minor_number) {
  for (int i = 0; i < count; i++)
    if (devices[i].number == makedev(major_number, minor_number)) return i;
  printf("unknown device %u:%u\n", major_number, minor_number);
  exit(1);
}

/* All but a card are opened anew by login1 and must not make a read wait; a card is only named. */
static void tell(const char *what, int i) {
  int is_card = strstr(devices[i].node, "/card") != NULL;
  printf("%s %s %s\n", what, devices[i].node, is_card ? "-" : reading(devices[i].fd));
}

static int on_signal(sd_bus_message *message, void *data, sd_bus_error *error) {
  (void)data, (void)error;
  unsigned major_number, minor_number;
  const char *type;
  int fd;
  if (sd_bus_message_is_signal(message, SESSION, "PauseDevice")) {
    if (sd_bus_message_read(message, "uus", &major_number, &minor_number, &type) < 0) exit(1);
    int i = find(major_number, minor_number);
    char what[32];
    snprintf(what, sizeof what, "pause %s", type);
    tell(what, i);
  } else if (sd_bus_message_is_signal(message, SESSION, "ResumeDevice")) {
    if (sd_bus_message_read(message, "uuh", &major_number, &minor_number, &fd) < 0) exit(1);
    int i = find(major_number, minor_number);
    close(devices[i].fd);
    devices[i].fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    tell("resume", i);
  }
  return 0;
}

static void take(sd_bus *bus, const char *node) {
  sd_bus_error error = SD_BUS_ERROR_NULL;
  sd_bus_message *reply = NULL;
  struct stat status;
  int fd, inactive, r;
  if (stat(node, &status) < 0) fail(node, -errno, NULL);
  r = sd_bus_call_method(bus, LOGIN1, path, SESSION, "TakeDevice", &error, &reply, "uu",
                         major(status.st_rdev), minor(status.st_rdev));
  if (r < 0) fail("TakeDevice", r, &error);
  r = sd_bus_message_read(reply, "hb", &fd, &inactive);
  if (r < 0) fail("TakeDevice's reply", r, NULL);
  devices[count].node = node;
  devices[count].number = status.st_rdev;
  devices[count].fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  sd_bus_message_unref(reply);
  tell(inactive ? "taken inactive" : "taken active", count++);
}

int main(int argc, char **argv) {
  sd_bus_error error = SD_BUS_ERROR_NULL;
  sd_bus *bus = NULL;
  if (argc < 3 || argc - 2 > MOST) return 2;
  path = argv[1];
  setvbuf(stdout, NULL, _IOLBF, 0);
  int r = sd_bus_open_system(&bus);
  if (r < 0) fail("the bus", r, NULL);
  r = sd_bus_match_signal(bus, NULL, LOGIN1, path, SESSION, NULL, on_signal, NULL);
  if (r < 0) fail("the match", r, NULL);
  r = sd_bus_call_method(bus, LOGIN1, path, SESSION, "TakeControl", &error, NULL, "b", 0);
  if (r < 0) fail("TakeControl", r, &error);
  for (int i = 2; i < argc; i++) take(bus, argv[i]);
  for (;;) {
    r = sd_bus_process(bus, NULL);
    if (r < 0) fail("the bus", r, NULL);
    if (r == 0 && (r = sd_bus_wait(bus, UINT64_MAX)) < 0) fail("the bus", r, NULL);
  }
}
