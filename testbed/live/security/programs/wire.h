/*
 * The four protocols of our daemons in as much as an attacker needs: D-Bus messages that may be
 * wrong in any way, varlink, sd_notify and the descriptor store. No library would send them wrong.
 */
#ifndef WIRE_H
#define WIRE_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BUS "/run/dbus/system_bus_socket"
#define VARLINK "/run/systemd/io.systemd.Login"
#define NOTIFY "/run/systemd/notify"
#define STORE "/run/lainos/fdstore"
#define LOGIN1 "org.freedesktop.login1"
#define LOGIN1_PATH "/org/freedesktop/login1"
#define MANAGER "org.freedesktop.login1.Manager"

/* SCM_MAX_FD of the kernel. */
#define MOST_FDS 253
#define NO_REPLY 1
#define INTERACTIVE 4

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static inline double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static inline void nap(double seconds)
{
	struct timespec time = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
	nanosleep(&time, NULL);
}

/* Bytes that grow. */
struct bytes {
	unsigned char *at;
	size_t length, room;
};

static inline void put(struct bytes *to, const void *data, size_t length)
{
	if (to->length + length > to->room) {
		to->room = 2 * (to->length + length) + 64;
		to->at = realloc(to->at, to->room);
		if (!to->at)
			die("realloc");
	}
	if (data)
		memcpy(to->at + to->length, data, length);
	else
		memset(to->at + to->length, 0, length);
	to->length += length;
}

static inline void align(struct bytes *to, size_t boundary)
{
	put(to, NULL, (boundary - to->length % boundary) % boundary);
}

static inline void put_u32(struct bytes *to, uint32_t value)
{
	align(to, 4);
	put(to, &value, 4);
}

/* A string or an object path. */
static inline void put_text(struct bytes *to, const char *text, size_t length)
{
	put_u32(to, length);
	put(to, text, length);
	put(to, "", 1);
}

static inline void put_string(struct bytes *to, const char *text) { put_text(to, text, strlen(text)); }

static inline void put_signature(struct bytes *to, const char *text)
{
	unsigned char length = strlen(text);
	put(to, &length, 1);
	put(to, text, length + 1);
}

static inline void field(struct bytes *to, unsigned char code, const char *type, const char *text)
{
	align(to, 8);
	put(to, &code, 1);
	put_signature(to, type);
	if (*type == 'g')
		put_signature(to, text);
	else
		put_string(to, text);
}

static inline void number_field(struct bytes *to, unsigned char code, uint32_t value)
{
	align(to, 8);
	put(to, &code, 1);
	put_signature(to, "u");
	put_u32(to, value);
}

/* A message, most often a method call; `signature` and `body` may be anything. */
struct call {
	const char *destination, *path, *interface, *member, *signature;
	unsigned char flags;
	const struct bytes *body;
	uint32_t serial, fds;
	/* Who the bus says that it is of: nobody but a bus can say it. */
	const char *sender;
	/* A call where it is 0. */
	unsigned char type;
	uint32_t reply_to;
	const char *error;
};

static inline struct bytes marshal(const struct call *call)
{
	struct bytes fields = {0}, message = {0};
	/* The array of fields starts at 16, so its alignment is that of the message. */
	if (call->path)
		field(&fields, 1, "o", call->path);
	if (call->interface)
		field(&fields, 2, "s", call->interface);
	if (call->member)
		field(&fields, 3, "s", call->member);
	if (call->error)
		field(&fields, 4, "s", call->error);
	if (call->reply_to)
		number_field(&fields, 5, call->reply_to);
	if (call->destination)
		field(&fields, 6, "s", call->destination);
	if (call->signature && *call->signature)
		field(&fields, 8, "g", call->signature);
	if (call->sender)
		field(&fields, 7, "s", call->sender);
	if (call->fds)
		number_field(&fields, 9, call->fds);
	unsigned char start[4] = {'l', call->type ? call->type : 1, call->flags, 1};
	put(&message, start, 4);
	put_u32(&message, call->body ? call->body->length : 0);
	put_u32(&message, call->serial);
	put_u32(&message, fields.length);
	put(&message, fields.at, fields.length);
	align(&message, 8);
	if (call->body)
		put(&message, call->body->at, call->body->length);
	free(fields.at);
	return message;
}

static inline int connect_to(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strncpy(address.sun_path, path, sizeof address.sun_path - 1);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

/* sendmsg(2) with descriptors; what sendmsg returns. */
static inline ssize_t send_with(int socket, const void *data, size_t length, const int *fds, int count, int flags)
{
	union {
		char space[CMSG_SPACE(MOST_FDS * sizeof(int))];
		struct cmsghdr header;
	} control;
	struct iovec part = {(void *)data, length};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	if (fds && count > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header.cmsg_len = CMSG_LEN(count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.header), fds, count * sizeof(int));
	}
	return sendmsg(socket, &message, flags | MSG_NOSIGNAL);
}

/* All of it, the descriptors with its first byte; -1 where the other end is gone. */
static inline int send_all(int socket, const void *data, size_t length, const int *fds, int count)
{
	const char *at = data;
	while (length > 0) {
		ssize_t sent = send_with(socket, at, length, fds, count, 0);
		if (sent < 0)
			return -1;
		at += sent;
		length -= sent;
		count = 0;
	}
	return 0;
}

/* Whether descriptors that come stay open, as an inhibitor's has to. */
static int keep_fds;

/* Reads exactly so many bytes until a time; descriptors that come are closed. 0, or -1. */
static inline int read_exactly(int fd, void *to, size_t length, double until)
{
	char *at = to;
	while (length > 0) {
		double left = until - now();
		struct pollfd wait = {fd, POLLIN, 0};
		if (left <= 0 || poll(&wait, 1, (int)(left * 1000) + 1) == 0) {
			errno = ETIMEDOUT;
			return -1;
		}
		union {
			char space[CMSG_SPACE(MOST_FDS * sizeof(int))];
			struct cmsghdr header;
		} control;
		struct iovec part = {at, length};
		struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
		ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
		if (got <= 0) {
			if (got == 0)
				errno = EPIPE;
			return -1;
		}
		for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
			int count = one->cmsg_type == SCM_RIGHTS ? (one->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
			for (int i = 0; !keep_fds && i < count; i++)
				close(((int *)CMSG_DATA(one))[i]);
		}
		at += got;
		length -= got;
	}
	return 0;
}

/* The next message; -1 with errno, its bytes in `message` and where its body starts in `body`. */
static inline int next_message(int fd, struct bytes *message, size_t *body, double until)
{
	unsigned char start[16];
	uint32_t length, fields;
	if (read_exactly(fd, start, 16, until) < 0)
		return -1;
	memcpy(&length, start + 4, 4);
	memcpy(&fields, start + 12, 4);
	*body = 16 + (fields + 7) / 8 * 8;
	message->length = 0;
	put(message, start, 16);
	put(message, NULL, *body - 16 + length);
	return read_exactly(fd, message->at + 16, message->length - 16, until);
}

/* The reply's serial (code 5) or the error's name (code 4) of a message; see "Message Format". */
static inline int find_field(const struct bytes *message, int code, uint32_t *number, char *text, size_t room)
{
	uint32_t fields, length;
	memcpy(&fields, message->at + 12, 4);
	for (size_t at = 16; at < 16 + fields;) {
		at = (at + 7) / 8 * 8;
		int found = message->at[at];
		char type = message->at[at + 2];
		at += 4;
		if (type == 'u') {
			if (found == code && number)
				memcpy(number, message->at + at, 4);
			if (found == code)
				return 1;
			at += 4;
		} else if (type == 'g') {
			at += message->at[at] + 2;
		} else {
			memcpy(&length, message->at + at, 4);
			if (found == code && text) {
				snprintf(text, room, "%.*s", (int)length, message->at + at + 4);
				return 1;
			}
			at += 4 + length + 1;
		}
	}
	return 0;
}

/*
 * Waits for the reply to a serial, whatever else comes.
 * Returns 2 for a reply, 3 for an error (its name in `error`), -1 with errno where none comes.
 */
static inline int await_reply(int fd, uint32_t serial, struct bytes *message, size_t *body, char *error, size_t room, double seconds)
{
	double until = now() + seconds;
	for (;;) {
		uint32_t answered = 0;
		if (next_message(fd, message, body, until) < 0)
			return -1;
		int type = message->at[1];
		if ((type != 2 && type != 3) || !find_field(message, 5, &answered, NULL, 0) || answered != serial)
			continue;
		if (type == 3 && error)
			find_field(message, 4, NULL, error, room);
		return type;
	}
}

static inline int send_call(int fd, const struct call *call, const int *fds)
{
	struct bytes message = marshal(call);
	int result = send_all(fd, message.at, message.length, fds, call->fds);
	free(message.at);
	return result;
}

/* A call that waits for its answer: as `await_reply`. */
static inline int ask(int fd, struct call call, const int *fds, struct bytes *message, size_t *body, char *error, size_t room, double seconds)
{
	static uint32_t serial = 1000;
	call.serial = ++serial;
	if (send_call(fd, &call, fds) < 0)
		return -1;
	return await_reply(fd, call.serial, message, body, error, room, seconds);
}

/* A connection that has said Hello; -1 with errno. */
static inline int open_bus(double seconds)
{
	char line[64], hex[32] = "";
	int fd = connect_to(BUS, SOCK_STREAM);
	if (fd < 0)
		return -1;
	snprintf(line, sizeof line, "%u", geteuid());
	for (size_t i = 0; line[i]; i++)
		sprintf(hex + 2 * i, "%02x", line[i]);
	char hello[128];
	int length = snprintf(hello + 1, sizeof hello - 1, "AUTH EXTERNAL %s\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n", hex);
	hello[0] = 0;
	double until = now() + seconds;
	if (send_all(fd, hello, length + 1, NULL, 0) < 0)
		goto lost;
	for (int lines = 0; lines < 2;) {
		char one;
		if (read_exactly(fd, &one, 1, until) < 0)
			goto lost;
		lines += one == '\n';
	}
	struct call call = {"org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", "", 0, NULL, 1, 0};
	struct bytes message = {0};
	size_t body;
	int done = send_call(fd, &call, NULL) < 0 ? -1 : await_reply(fd, 1, &message, &body, NULL, 0, until - now());
	free(message.at);
	if (done == 2)
		return fd;
lost:;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

static inline struct call manager_call(const char *member, const char *signature, const struct bytes *body)
{
	return (struct call){LOGIN1, LOGIN1_PATH, MANAGER, member, signature, 0, body, 0, 0};
}

#endif
