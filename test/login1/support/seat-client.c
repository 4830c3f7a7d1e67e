/* A compositor's side of a seat, by the real libseat: does what standard input says, tells what happens. */
#include <libseat.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(const char *text) {
  puts(text);
  fflush(stdout);
}

static void on_enable(struct libseat *seat, void *data) {
  (void)seat, (void)data;
  say("enabled");
}

static void on_disable(struct libseat *seat, void *data) {
  (void)data;
  libseat_disable_seat(seat);
  say("disabled");
}

int main(void) {
  static const struct libseat_seat_listener listener = {on_enable, on_disable};
  char line[256];
  int device = -1;
  libseat_set_log_level(LIBSEAT_LOG_LEVEL_ERROR);
  setvbuf(stdin, NULL, _IONBF, 0);
  struct libseat *seat = libseat_open_seat(&listener, NULL);
  if (!seat) {
    perror("libseat_open_seat");
    return 1;
  }
  printf("on %s\n", libseat_seat_name(seat));
  libseat_dispatch(seat, 0);
  for (;;) {
    struct pollfd watched[] = {{0, POLLIN, 0}, {libseat_get_fd(seat), POLLIN, 0}};
    if (poll(watched, 2, -1) < 0) return 1;
    if (watched[1].revents && libseat_dispatch(seat, 0) < 0) return 1;
    if (!watched[0].revents) continue;
    if (!fgets(line, sizeof line, stdin)) break;
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "open ", 5) == 0) {
      int fd;
      device = libseat_open_device(seat, line + 5, &fd);
      say(device < 0 ? "refused" : "opened");
    } else if (strcmp(line, "close") == 0) {
      libseat_close_device(seat, device);
      say("closed");
    }
    /* A call waits for its reply and queues the signals that came before it. */
    libseat_dispatch(seat, 0);
  }
  libseat_close_seat(seat);
  return 0;
}
