/*
 * A HID device that is no input device, by uhid: hid-device
 * The kernel makes a hidraw node of it, for as long as this runs.
 */
#include <fcntl.h>
#include <linux/input.h>
#include <linux/uhid.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Eight bytes of the vendor's own: HID 1.11, 6.2.2. */
static const unsigned char DESCRIPTOR[] = {
    0x06, 0x00, 0xff, /* usage page: the vendor's */
    0x09, 0x01,       /* usage */
    0xa1, 0x01,       /* collection: application */
    0x15, 0x00,       /*   from 0 */
    0x26, 0xff, 0x00, /*   to 255 */
    0x75, 0x08,       /*   of 8 bits */
    0x95, 0x08,       /*   eight of them */
    0x09, 0x01,       /*   usage */
    0x81, 0x02,       /*   input: data, variable, absolute */
    0xc0,             /* end of the collection */
};

int main(void) {
  struct uhid_event event = {.type = UHID_CREATE2};
  int device = open("/dev/uhid", O_RDWR | O_CLOEXEC);
  strcpy((char *)event.u.create2.name, "Vendor's own");
  memcpy(event.u.create2.rd_data, DESCRIPTOR, sizeof DESCRIPTOR);
  event.u.create2.rd_size = sizeof DESCRIPTOR;
  event.u.create2.bus = BUS_VIRTUAL;
  if (device < 0 || write(device, &event, sizeof event) < 0) {
    perror("/dev/uhid");
    return 1;
  }
  /* What the kernel tells: that somebody opens it, and closes it. */
  while (read(device, &event, sizeof event) > 0);
  perror("/dev/uhid");
  return 1;
}
