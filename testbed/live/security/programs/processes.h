/* Processes by their names, as /proc shows them: the kernel has four million numbers for them. */
#ifndef PROCESSES_H
#define PROCESSES_H

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* How many have a name that begins so. first: the one with the lowest number, 0 without any; may be NULL */
static inline int processes_named(const char *name, int *first)
{
	int count = 0, lowest = INT_MAX;
	DIR *proc = opendir("/proc");
	for (struct dirent *entry; proc && (entry = readdir(proc));) {
		char path[300], line[64];
		int pid = atoi(entry->d_name);
		if (pid <= 1)
			continue;
		snprintf(path, sizeof path, "/proc/%d/comm", pid);
		int fd = open(path, O_RDONLY);
		ssize_t length = fd < 0 ? -1 : read(fd, line, sizeof line);
		if (fd >= 0)
			close(fd);
		if (length < (ssize_t)strlen(name) || strncmp(line, name, strlen(name)) != 0)
			continue;
		count++;
		if (pid < lowest)
			lowest = pid;
	}
	if (proc)
		closedir(proc);
	if (first)
		*first = count > 0 ? lowest : 0;
	return count;
}

#endif
