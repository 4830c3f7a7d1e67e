/* A receiver that does no more than one has to: reads each datagram, closes its descriptors. It is
 * the floor that lainos-notifyd is measured against. Writes a line when it can be sent to. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv) {
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	if (argc != 2 || s < 0)
		return 2;
	snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
	if (bind(s, (struct sockaddr *) &address, sizeof address) < 0 ||
	    setsockopt(s, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0) {
		perror(argv[1]);
		return 1;
	}
	fprintf(stderr, "receiving\n");
	for (;;) {
		char data[4097];
		_Alignas(struct cmsghdr) char control[CMSG_SPACE(253 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
		struct iovec vector = {.iov_base = data, .iov_len = sizeof data};
		struct msghdr message = {
			.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
		if (recvmsg(s, &message, MSG_CMSG_CLOEXEC) < 0) {
			perror("recvmsg");
			return 1;
		}
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
			if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
				continue;
			int *fds = (int *) CMSG_DATA(c);
			for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
				close(fds[i]);
		}
	}
}
