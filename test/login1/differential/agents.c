/*
 * Processes in a world, each with a connection to its bus that somebody outside speaks: a client of login1
 * with a user, a process and a cgroup of its own. One command a line of standard input:
 *
 *   start UID SOCKET   a process of that user, which waits to be connected to at SOCKET and passes on
 *                      what comes, descriptors too, between there and the bus. Its pid is printed.
 *
 * All end with this one. A process that is ended by a signal is waited for at once.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BUS "/run/dbus/system_bus_socket"
#define MOST_FDS 64
#define CHUNK 65536

static int check(int result, const char *what) {
	if (result < 0) {
		fprintf(stderr, "agents: %s: %s\n", what, strerror(errno));
		_exit(1);
	}
	return result;
}

static struct sockaddr_un address_of(const char *path) {
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	return address;
}

static int listen_at(const char *path) {
	struct sockaddr_un address = address_of(path);
	int fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	unlink(path);
	check(bind(fd, (struct sockaddr *) &address, sizeof(address)), path);
	check(listen(fd, 1), path);
	return fd;
}

static int connect_to(const char *path) {
	struct sockaddr_un address = address_of(path);
	int fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
	check(connect(fd, (struct sockaddr *) &address, sizeof(address)), path);
	return fd;
}

static void write_all(int fd, const char *data, size_t size) {
	while (size > 0) {
		ssize_t written = send(fd, data, size, MSG_NOSIGNAL);
		check((int) written, "send");
		data += written;
		size -= (size_t) written;
	}
}

/* Passes on what has come at one end. Returns 0 when that end is closed. */
static int pass_on(int from, int to) {
	static char data[CHUNK];
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(MOST_FDS * sizeof(int))];
	} control;
	struct iovec part = {data, sizeof(data)};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	ssize_t size = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
	if (size <= 0)
		return 0;
	part.iov_len = (size_t) size;
	if (message.msg_controllen == 0)
		message.msg_control = NULL;
	ssize_t sent = sendmsg(to, &message, MSG_NOSIGNAL);
	for (struct cmsghdr *at = CMSG_FIRSTHDR(&message); at; at = CMSG_NXTHDR(&message, at)) {
		size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; at->cmsg_type == SCM_RIGHTS && i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(at) + i * sizeof(int), sizeof(int));
			close(fd);
		}
	}
	if (sent <= 0)
		return 0;
	if (sent < size)
		write_all(to, data + sent, (size_t) (size - sent));
	return 1;
}

/* Says who it is to the bus in the place of the client, who says whom it takes itself for. */
static void introduce(int client, int bus) {
	char line[256], words[128], hex[64] = "";
	size_t length = 0;
	do
		check(read(client, line + length, 1) == 1 ? 0 : -1, "the client's first line");
	while (line[length++] != '\n' && length < sizeof(line));
	snprintf(words, sizeof(words), "%u", geteuid());
	for (char *at = words; *at; at++)
		sprintf(hex + strlen(hex), "%02x", *at);
	write_all(bus, "", 1);
	snprintf(words, sizeof(words), "AUTH EXTERNAL %s\r\n", hex);
	write_all(bus, words, strlen(words));
}

static void serve(uid_t uid, int listener) {
	/* Before it is somebody else's: they shall not read what it has in memory. */
	check(setgroups(0, NULL), "setgroups");
	check(setresgid(uid, uid, uid), "setresgid");
	check(setresuid(uid, uid, uid), "setresuid");
	check(prctl(PR_SET_PDEATHSIG, SIGKILL), "prctl");
	int client = check(accept4(listener, NULL, NULL, SOCK_CLOEXEC), "accept");
	int bus = connect_to(BUS);
	introduce(client, bus);
	struct pollfd ends[] = {{client, POLLIN, 0}, {bus, POLLIN, 0}};
	for (;;) {
		check(poll(ends, 2, -1), "poll");
		for (int i = 0; i < 2; i++)
			if (ends[i].revents && !pass_on(ends[i].fd, ends[1 - i].fd)) {
				/* The process outlives its connection, as a leader may. */
				close(client);
				close(bus);
				for (;;)
					pause();
			}
	}
}

int main(void) {
	char line[512], path[256];
	unsigned uid;
	signal(SIGCHLD, SIG_IGN);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "start %u %255s", &uid, path) != 2) {
			fprintf(stderr, "agents: what is %s", line);
			return 1;
		}
		int listener = listen_at(path);
		pid_t child = check(fork(), "fork");
		if (child == 0) {
			int null = open("/dev/null", O_RDWR | O_CLOEXEC);
			dup2(null, 0);
			dup2(null, 1);
			signal(SIGCHLD, SIG_DFL);
			serve(uid, listener);
			_exit(0);
		}
		close(listener);
		printf("%d\n", child);
		fflush(stdout);
	}
	return 0;
}
