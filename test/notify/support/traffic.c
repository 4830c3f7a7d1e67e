/* Senders of datagrams to a notify socket.
 *
 *   traffic flood SOCKET SENDERS COUNT   each sends COUNT and then a barrier, and waits for its answer;
 *                                        prints "DONE LEAST SECONDS": how many were answered, how far
 *                                        the slowest was when the first had sent all of its own, and
 *                                        the time from the first datagram to the last answer
 *   traffic fuzz SOCKET COUNT SEED       nonsense of all kinds from one process, with descriptors
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_FDS 253

static int notify_socket(const char *path) {
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0 || connect(s, (struct sockaddr *) &address, sizeof address) < 0) {
		perror(path);
		exit(1);
	}
	return s;
}

static void send_all(int s, const void *data, size_t length, const int *fds, int n) {
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(MOST_FDS * sizeof(int))];
	} control;
	memset(&control, 0, sizeof control);
	struct iovec vector = {.iov_base = (void *) data, .iov_len = length};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
	if (n > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n * sizeof(int));
	}
	while (sendmsg(s, &message, MSG_NOSIGNAL) < 0) {
		if (errno == EINTR)
			continue;
		perror("sendmsg");
		exit(1);
	}
}

/* sd_notify_barrier(3) with two minutes. */
static int barrier(int s) {
	int ends[2];
	if (pipe(ends) < 0)
		return 0;
	send_all(s, "BARRIER=1", 9, &ends[1], 1);
	close(ends[1]);
	struct pollfd p = {.fd = ends[0]};
	int r = poll(&p, 1, 120000);
	close(ends[0]);
	return r == 1;
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int flood(const char *path, int senders, int count) {
	int *sent = mmap(NULL, (senders + 2) * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int *first = &sent[senders], *least = &sent[senders + 1];
	int start[2];
	if (sent == MAP_FAILED || pipe(start) < 0)
		return 1;
	for (int i = 0; i < senders; i++) {
		if (fork() != 0)
			continue;
		char go, text[64];
		close(start[1]);
		int s = notify_socket(path);
		(void) !read(start[0], &go, 1);
		for (int n = 0; n < count; n++) {
			int length = snprintf(text, sizeof text, "STATUS=sender %d datagram %d.", i, n);
			send_all(s, text, length, NULL, 0);
			sent[i] = n + 1;
		}
		if (__sync_bool_compare_and_swap(first, 0, 1)) {
			*least = count;
			for (int other = 0; other < senders; other++)
				if (sent[other] < *least)
					*least = sent[other];
		}
		_exit(barrier(s) ? 0 : 1);
	}
	close(start[0]);
	double began = now();
	close(start[1]);
	int done = 0, status;
	while (wait(&status) > 0)
		done += WIFEXITED(status) && WEXITSTATUS(status) == 0;
	printf("%d %d %.3f\n", done, *least, now() - began);
	return done == senders ? 0 : 1;
}

static uint64_t state;

static uint32_t chance(uint32_t below) {
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t) (state >> 16) % below;
}

static const char *const WORDS[] = {
	"READY=1", "RELOADING=1", "STOPPING=1", "STATUS=x", "STATUS=", "NOTIFYACCESS=all", "NOTIFYACCESS=main",
	"ERRNO=2", "ERRNO=ENOENT", "BUSERROR=a.b", "VARLINKERROR=a.b.C", "EXIT_STATUS=1", "MAINPID=%u", "MAINPIDFD=1",
	"MAINPIDFDID=%u", "WATCHDOG=1", "WATCHDOG=trigger", "WATCHDOG_USEC=%u", "EXTEND_TIMEOUT_USEC=%u",
	"MONOTONIC_USEC=%u", "FDSTORE=1", "FDSTOREREMOVE=1", "FDNAME=a", "FDNAME=b:", "FDPOLL=0", "BARRIER=1",
	"RESTART_RESET=1", "X_MINE=1", "=", "", "no assignment",
};

static size_t one_of_words(char *text, size_t size) {
	size_t length = 0;
	for (uint32_t lines = 1 + chance(6); lines > 0 && length + 64 < size; lines--) {
		const char *word = WORDS[chance(sizeof WORDS / sizeof *WORDS)];
		/* Any word may have a number in it; without a %u the number goes nowhere. */
		const char *at = strstr(word, "%u");
		if (at)
			length += snprintf(text + length, size - length, "%.*s%u\n", (int) (at - word), word, chance(1u << 31));
		else
			length += snprintf(text + length, size - length, "%s\n", word);
	}
	return length;
}

static int fuzz(const char *path, int count, uint64_t seed) {
	static char text[9000];
	int s = notify_socket(path), fds[MOST_FDS], ends[2];
	state = seed * 0x9e3779b97f4a7c15u + 1;
	if (pipe(ends) < 0)
		return 1;
	for (int i = 0; i < MOST_FDS; i++)
		fds[i] = ends[i & 1];
	for (int n = 0; n < count; n++) {
		size_t length;
		uint32_t kind = chance(10);
		if (kind < 2) {
			length = chance(kind ? 80 : 5000);
			for (size_t i = 0; i < length; i++)
				text[i] = (char) chance(256);
		} else {
			length = one_of_words(text, 4096);
			if (kind < 6)
				for (uint32_t times = 1 + chance(4); times > 0 && length > 0; times--)
					text[chance(length)] = (char) chance(256);
			if (kind == 6 && chance(20) == 0)
				length = 4090 + chance(4900);
		}
		int with = chance(5) ? 0 : chance(200) ? 1 + (int) chance(3) : MOST_FDS;
		int fresh = -1;
		/* One that nobody has yet, for a store to take. */
		if (with == 1 && chance(4) == 0)
			fds[0] = fresh = memfd_create("fuzz", MFD_CLOEXEC);
		send_all(s, text, length, fds, with);
		if (fresh >= 0) {
			close(fresh);
			fds[0] = ends[0];
		}
	}
	return barrier(s) ? 0 : 1;
}

int main(int argc, char **argv) {
	if (argc == 5 && strcmp(argv[1], "flood") == 0)
		return flood(argv[2], atoi(argv[3]), atoi(argv[4]));
	if (argc == 5 && strcmp(argv[1], "fuzz") == 0)
		return fuzz(argv[2], atoi(argv[3]), strtoull(argv[4], NULL, 10));
	fprintf(stderr, "usage: traffic flood SOCKET SENDERS COUNT | fuzz SOCKET COUNT SEED\n");
	return 2;
}
