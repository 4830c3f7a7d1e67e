/* What the programs that run in a daemon's sandbox share. */
#ifndef SANDBOXED_H
#define SANDBOXED_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Sets the filter of system calls in a file, for this process; -1 with errno. */
static inline int set_filter(const char *file)
{
	static struct sock_filter program[8192];
	int fd = open(file, O_RDONLY);
	ssize_t size = fd < 0 ? -1 : read(fd, program, sizeof program);
	if (size <= 0)
		return -1;
	close(fd);
	struct sock_fprog header = {size / sizeof *program, program};
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &header);
}

#endif
