/* The functions of sd_notify(3), called as a service would; prints what each returns. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* libsystemd has it since version 254; where it lacks, there is nothing to call. */
extern int sd_pid_notify_barrier(pid_t pid, int unset_environment, uint64_t timeout) __attribute__((weak));

int main(int argc, char **argv) {
	pid_t other = argc > 1 ? atoi(argv[1]) : 0;
	int fds[2] = {memfd_create("one", MFD_CLOEXEC), memfd_create("two", MFD_CLOEXEC)};
	printf("%d ", sd_notify(0, "READY=1\nSTATUS=from libsystemd"));
	printf("%d ", sd_notifyf(0, "STATUS=number %d", 7));
	printf("%d ", sd_pid_notify_with_fds(0, 0, "FDSTORE=1\nFDNAME=two", fds, 2));
	printf("%d ", sd_notify_barrier(0, 20000000));
	/* In the name of another process, which only root may. */
	printf("%d ", sd_pid_notify(other, 0, "STATUS=in another's name"));
	if (sd_pid_notify_barrier)
		printf("%d\n", sd_pid_notify_barrier(other, 0, 20000000));
	else
		printf("lacking %d\n", sd_notify_barrier(0, 20000000));
	return 0;
}
