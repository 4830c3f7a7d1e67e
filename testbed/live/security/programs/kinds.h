/*
 * A descriptor of every kind that an ordinary user can get from the kernel. `make_kind` opens a new
 * one; -1 where this kernel or this user has none of the kind.
 */
#ifndef KINDS_H
#define KINDS_H
#include "fuse.h"
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <mqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

/* How long the close of a lingering socket waits, in seconds. */
#define LINGER 60

/* The other ends, which have to stay open, and go with the process. */
static inline int other_end(int pair[2])
{
	return pair[0];
}

static inline int kind_memfd(void) { return memfd_create("attack", MFD_CLOEXEC); }
static inline int kind_secret(void) { return syscall(447, 0); }
static inline int kind_eventfd(void) { return eventfd(1, EFD_CLOEXEC); }
static inline int kind_signalfd(void)
{
	sigset_t set;
	sigfillset(&set);
	return signalfd(-1, &set, SFD_CLOEXEC);
}
static inline int kind_timerfd(void)
{
	struct itimerspec often = {{0, 1000}, {0, 1000}};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	timerfd_settime(fd, 0, &often, NULL);
	return fd;
}
static inline int kind_inotify(void)
{
	int fd = inotify_init1(IN_CLOEXEC);
	inotify_add_watch(fd, "/tmp", IN_ALL_EVENTS);
	return fd;
}
/* FAN_REPORT_FID and no CAP_SYS_ADMIN, from 5.13 on. */
static inline int kind_fanotify(void) { return fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_CLOEXEC, O_RDONLY); }
static inline int kind_epoll(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC), ready = kind_eventfd();
	struct epoll_event event = {.events = EPOLLIN};
	epoll_ctl(fd, EPOLL_CTL_ADD, ready, &event);
	return fd;
}
/* As deep as the kernel lets one nest them (EP_MAX_NESTS). */
static inline int kind_epoll_chain(void)
{
	int inner = kind_epoll();
	for (int depth = 0; depth < 8; depth++) {
		int outer = epoll_create1(EPOLL_CLOEXEC);
		struct epoll_event event = {.events = EPOLLIN};
		if (epoll_ctl(outer, EPOLL_CTL_ADD, inner, &event) < 0) {
			close(outer);
			break;
		}
		close(inner);
		inner = outer;
	}
	return inner;
}
static inline int kind_pidfd(void) { return syscall(SYS_pidfd_open, getpid(), 0); }
static inline int kind_path(void) { return open("/", O_PATH | O_CLOEXEC); }
static inline int kind_path_link(void) { return open("/proc/self/exe", O_PATH | O_NOFOLLOW | O_CLOEXEC); }
static inline int kind_directory(void) { return open("/usr", O_RDONLY | O_DIRECTORY | O_CLOEXEC); }
static inline int kind_file(void) { return open("/etc/passwd", O_RDONLY | O_CLOEXEC); }
static inline int kind_temporary(void) { return open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600); }
static inline int kind_null(void) { return open("/dev/null", O_RDWR | O_CLOEXEC); }
static inline int kind_memory(void) { return open("/proc/self/mem", O_RDWR | O_CLOEXEC); }
static inline int kind_namespace(void) { return open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC); }
static inline int kind_mounts(void) { return open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC); }
static inline int kind_fifo(void)
{
	char path[64];
	snprintf(path, sizeof path, "/tmp/attack-fifo-%d", getpid());
	if (mkfifo(path, 0600) < 0)
		return -1;
	int fd = open(path, O_RDWR | O_CLOEXEC);
	unlink(path);
	return fd;
}
static inline int kind_pipe(void)
{
	int pair[2];
	if (pipe2(pair, O_CLOEXEC) < 0)
		return -1;
	close(pair[1]);
	return pair[0];
}
/* Full, so that a write to it waits. */
static inline int kind_full_pipe(void)
{
	static char page[4096];
	int pair[2];
	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	while (write(pair[1], page, sizeof page) > 0)
		;
	fcntl(pair[1], F_SETFL, 0);
	return pair[1];
}
static inline int kind_pty_master(void) { return open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC); }
static inline int kind_pty_slave(void)
{
	int master = kind_pty_master(), number, unlock = 0;
	char path[64];
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
		return -1;
	snprintf(path, sizeof path, "/dev/pts/%d", number);
	return open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
}
static inline int unix_pair(int type, int kept[2])
{
	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, kept) < 0)
		return -1;
	return 0;
}
static inline int kind_stream(void)
{
	int pair[2];
	return unix_pair(SOCK_STREAM, pair) < 0 ? -1 : other_end(pair);
}
static inline int kind_datagram(void)
{
	int pair[2];
	return unix_pair(SOCK_DGRAM, pair) < 0 ? -1 : other_end(pair);
}
static inline int kind_seqpacket(void)
{
	int pair[2];
	return unix_pair(SOCK_SEQPACKET, pair) < 0 ? -1 : other_end(pair);
}
static inline int kind_listener(void)
{
	struct sockaddr_un any = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bind(fd, (struct sockaddr *)&any, sizeof any.sun_family);
	listen(fd, 1);
	return fd;
}
/* A socket that waits in a socket that waits in a socket …, to the depth that the kernel takes. */
static inline int kind_nested(void)
{
	int inner = kind_eventfd();
	for (int depth = 0; depth < 16; depth++) {
		int pair[2];
		if (unix_pair(SOCK_DGRAM, pair) < 0)
			return inner;
		int sent = send_with(pair[0], "x", 1, &inner, 1, MSG_DONTWAIT);
		close(pair[0]);
		if (sent < 0) {
			close(pair[1]);
			return inner;
		}
		close(inner);
		inner = pair[1];
	}
	return inner;
}
/* One that waits in itself: only the kernel's garbage collector ends it. */
static inline int kind_cycle(void)
{
	int pair[2];
	if (unix_pair(SOCK_DGRAM, pair) < 0)
		return -1;
	send_with(pair[0], "x", 1, &pair[1], 1, MSG_DONTWAIT);
	close(pair[0]);
	return pair[1];
}
static inline int kind_netlink(void) { return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT); }
static inline int kind_udp(void) { return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0); }
static inline int kind_vsock(void) { return socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0); }
static inline int kind_alg(void) { return socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0); }
/* In a user namespace one has CAP_NET_RAW. */
static inline int kind_packet(void)
{
	int pair[2], fd = -1;
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control;
	char byte;
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	if (unix_pair(SOCK_STREAM, pair) < 0)
		return -1;
	pid_t child = fork();
	if (child == 0) {
		int packet = unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 ? -1 : socket(AF_PACKET, SOCK_RAW, 0);
		_exit(packet < 0 || send_with(pair[1], "x", 1, &packet, 1, 0) < 0);
	}
	close(pair[1]);
	if (recvmsg(pair[0], &message, MSG_CMSG_CLOEXEC) == 1)
		fd = *(int *)CMSG_DATA(&control.header);
	close(pair[0]);
	waitpid(child, NULL, 0);
	return fd;
}
static inline int kind_uring(void)
{
	char parameters[120] = "";
	return syscall(425, 4, parameters);
}
/* UFFD_USER_MODE_ONLY, which needs no right. */
static inline int kind_userfault(void) { return syscall(SYS_userfaultfd, O_CLOEXEC | 1); }
static inline int kind_bpf(void)
{
	/* BPF_MAP_CREATE of an array. */
	struct { uint32_t type, key, value, most, flags; } map = {2, 4, 4, 1, 0};
	return syscall(SYS_bpf, 0, &map, sizeof map);
}
static inline int kind_perf(void)
{
	/* PERF_TYPE_SOFTWARE, the CPU's clock, of this process in user mode. */
	struct { uint32_t type, size; uint64_t config, more[14]; } event = {1, 128, 0, {0}};
	event.more[3] = 0x60;
	return syscall(SYS_perf_event_open, &event, 0, -1, -1, 8);
}
static inline int kind_queue(void)
{
	char name[64];
	struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};
	snprintf(name, sizeof name, "/attack-%d", getpid());
	int fd = mq_open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600, &attributes);
	mq_unlink(name);
	return fd;
}
static inline int kind_landlock(void)
{
	uint64_t attributes = 1;
	return syscall(444, &attributes, sizeof attributes, 0);
}
static inline int kind_fscontext(void) { return syscall(430, "tmpfs", 1); }
/* Unread data, and a close that waits until they are read or LINGER is over. */
static inline int kind_linger(void)
{
	static char data[65536];
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof address;
	int small = 4096;
	struct linger linger = {1, LINGER};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		die("listen on the loopback");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
		die("connect on the loopback");
	/* The other end is never accepted, and never read. */
	while (send(fd, data, sizeof data, MSG_DONTWAIT) > 0)
		;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
	return fd;
}
/* The same in the queue of another socket, with which it is closed. */
static inline int kind_nested_linger(void)
{
	int pair[2], inner = kind_linger();
	if (unix_pair(SOCK_DGRAM, pair) < 0)
		return -1;
	send_with(pair[0], "x", 1, &inner, 1, MSG_DONTWAIT);
	close(inner);
	close(pair[0]);
	return pair[1];
}

struct kind {
	const char *name;
	/* A new one; else `fault`, whose one file is sent again and again. */
	int (*make)(void);
	struct fuse_fault fault;
};

static const struct kind KINDS[] = {
	{"memfd", kind_memfd, {0, 0}}, {"memfd_secret", kind_secret, {0, 0}}, {"eventfd", kind_eventfd, {0, 0}},
	{"timerfd", kind_timerfd, {0, 0}}, {"signalfd", kind_signalfd, {0, 0}}, {"inotify", kind_inotify, {0, 0}},
	{"fanotify", kind_fanotify, {0, 0}}, {"epoll", kind_epoll, {0, 0}}, {"epoll-chain", kind_epoll_chain, {0, 0}},
	{"pidfd", kind_pidfd, {0, 0}}, {"o_path", kind_path, {0, 0}}, {"o_path-link", kind_path_link, {0, 0}},
	{"directory", kind_directory, {0, 0}}, {"file", kind_file, {0, 0}}, {"tmpfile", kind_temporary, {0, 0}},
	{"null", kind_null, {0, 0}}, {"proc-mem", kind_memory, {0, 0}}, {"namespace", kind_namespace, {0, 0}},
	{"mountinfo", kind_mounts, {0, 0}}, {"fifo", kind_fifo, {0, 0}}, {"pipe", kind_pipe, {0, 0}},
	{"full-pipe", kind_full_pipe, {0, 0}}, {"pty-master", kind_pty_master, {0, 0}}, {"pty-slave", kind_pty_slave, {0, 0}},
	{"unix-stream", kind_stream, {0, 0}}, {"unix-datagram", kind_datagram, {0, 0}}, {"unix-seqpacket", kind_seqpacket, {0, 0}},
	{"unix-listener", kind_listener, {0, 0}}, {"unix-nested", kind_nested, {0, 0}}, {"unix-cycle", kind_cycle, {0, 0}},
	{"netlink", kind_netlink, {0, 0}}, {"udp", kind_udp, {0, 0}}, {"vsock", kind_vsock, {0, 0}}, {"alg", kind_alg, {0, 0}},
	{"packet", kind_packet, {0, 0}}, {"io_uring", kind_uring, {0, 0}}, {"userfaultfd", kind_userfault, {0, 0}},
	{"bpf-map", kind_bpf, {0, 0}}, {"perf-event", kind_perf, {0, 0}}, {"mqueue", kind_queue, {0, 0}},
	{"landlock", kind_landlock, {0, 0}}, {"fs-context", kind_fscontext, {0, 0}},
	/* From here on those whose close, stat or poll waits or fails. */
	{"linger", kind_linger, {0, 0}}, {"nested-linger", kind_nested_linger, {0, 0}},
	{"fuse-flush-eio", NULL, {FUSE_FLUSH, EIO}}, {"fuse-flush-hang", NULL, {FUSE_FLUSH, 0}},
	{"fuse-release-hang", NULL, {FUSE_RELEASE, 0}}, {"fuse-stat-hang", NULL, {FUSE_GETATTR, 0}},
	{"fuse-poll-hang", NULL, {FUSE_POLL, 0}},
};
#define KIND_COUNT (int)(sizeof KINDS / sizeof *KINDS)
#define HARMLESS_COUNT 42

static inline const struct kind *find_kind(const char *name)
{
	for (int i = 0; i < KIND_COUNT; i++)
		if (strcmp(KINDS[i].name, name) == 0)
			return &KINDS[i];
	return NULL;
}

#endif
