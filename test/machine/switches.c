/*
 * A laptop's lid and dock, by uinput: switches FIFO
 * Makes the FIFO, and an input device with both switches for as long as it runs; "lid 1" written to
 * the FIFO closes the lid, "dock 0" takes the machine out of the dock.
 */
#include <fcntl.h>
#include <linux/uinput.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(const char *what) {
  perror(what);
  return 1;
}

static int emit(int device, int type, int code, int value) {
  struct input_event event = {.type = type, .code = code, .value = value};
  return write(device, &event, sizeof event) == sizeof event ? 0 : -1;
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fputs("usage: switches FIFO\n", stderr);
    return 2;
  }
  int device = open("/dev/uinput", O_WRONLY | O_CLOEXEC);
  if (device < 0) return fail("/dev/uinput");
  struct uinput_setup setup = {.id.bustype = BUS_VIRTUAL, .name = "Lid and Dock"};
  if (ioctl(device, UI_SET_EVBIT, EV_SW) < 0 || ioctl(device, UI_SET_SWBIT, SW_LID) < 0 ||
      ioctl(device, UI_SET_SWBIT, SW_DOCK) < 0 || ioctl(device, UI_DEV_SETUP, &setup) < 0 ||
      ioctl(device, UI_DEV_CREATE) < 0)
    return fail("uinput");
  unlink(argv[1]);
  if (mkfifo(argv[1], 0600) < 0) return fail(argv[1]);
  /* For reading and writing, so that it does not end when who wrote has gone. */
  int fifo = open(argv[1], O_RDWR | O_CLOEXEC);
  FILE *orders = fifo < 0 ? NULL : fdopen(fifo, "r");
  if (!orders) return fail(argv[1]);
  char name[8];
  int on;
  while (fscanf(orders, "%7s %d", name, &on) == 2) {
    int code = strcmp(name, "lid") == 0 ? SW_LID : SW_DOCK;
    if (emit(device, EV_SW, code, on) < 0 || emit(device, EV_SYN, SYN_REPORT, 0) < 0)
      return fail("an event");
  }
  return 1;
}
