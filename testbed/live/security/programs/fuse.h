/*
 * A file of a FUSE file system in a user namespace, which nobody needs a right for, and whose server
 * answers as badly as it likes: see fuse(4) and linux/fuse.h.
 */
#ifndef FUSE_H
#define FUSE_H
#include "wire.h"
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* What the server does with requests of one kind. */
struct fuse_fault {
	/* FUSE_FLUSH, FUSE_GETATTR, FUSE_POLL, FUSE_RELEASE. */
	uint32_t operation;
	/* 0: it never answers. */
	int error;
};

static inline void fuse_answer(int device, uint64_t unique, int error, const void *data, size_t length)
{
	char answer[4096];
	struct fuse_out_header header = {sizeof header + length, -error, unique};
	memcpy(answer, &header, sizeof header);
	if (length > 0)
		memcpy(answer + sizeof header, data, length);
	/* Fails where the request was interrupted meanwhile, which is as well. */
	if (write(device, answer, header.len) < 0)
		return;
}

static inline void fuse_serve(int device, struct fuse_fault fault)
{
	static char request[1 << 17];
	int opened = 0;
	for (;;) {
		ssize_t length = read(device, request, sizeof request);
		if (length < 0 && (errno == EINTR || errno == ENOENT))
			continue;
		if (length < (ssize_t)sizeof(struct fuse_in_header))
			return;
		struct fuse_in_header *in = (struct fuse_in_header *)request;
		int is_root = in->nodeid == FUSE_ROOT_ID;
		struct fuse_attr attributes = {
			.ino = in->nodeid, .nlink = 1, .mode = is_root ? S_IFDIR | 0777 : S_IFREG | 0666,
			.uid = getuid(), .gid = getgid(), .blksize = 4096,
		};
		/* Not before it is open: the attacker itself has to get through that. */
		if (opened && in->opcode == fault.operation && !is_root) {
			if (fault.error)
				fuse_answer(device, in->unique, fault.error, NULL, 0);
			continue;
		}
		switch (in->opcode) {
		case FUSE_INIT: {
			struct fuse_init_out out = {.major = 7, .minor = 31, .max_write = 65536};
			fuse_answer(device, in->unique, 0, &out, sizeof out);
			break;
		}
		case FUSE_LOOKUP: {
			struct fuse_entry_out out = {.nodeid = 2, .attr = attributes};
			out.attr.ino = 2;
			out.attr.mode = S_IFREG | 0666;
			fuse_answer(device, in->unique, 0, &out, sizeof out);
			break;
		}
		case FUSE_GETATTR: {
			struct fuse_attr_out out = {.attr = attributes};
			fuse_answer(device, in->unique, 0, &out, sizeof out);
			break;
		}
		case FUSE_OPEN:
		case FUSE_OPENDIR: {
			struct fuse_open_out out = {.fh = 1, .open_flags = FOPEN_DIRECT_IO};
			opened = 1;
			fuse_answer(device, in->unique, 0, &out, sizeof out);
			break;
		}
		case FUSE_FLUSH:
		case FUSE_RELEASE:
			fuse_answer(device, in->unique, 0, NULL, 0);
			break;
		case FUSE_FORGET:
		case FUSE_BATCH_FORGET:
		case FUSE_INTERRUPT:
			break;
		case FUSE_DESTROY:
			return;
		default:
			fuse_answer(device, in->unique, ENOSYS, NULL, 0);
		}
	}
}

static inline void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

/* In a process of its own: mounts, serves by another one, and sends the open file to `to`. */
static inline void fuse_mount(int to, struct fuse_fault fault)
{
	char map[64], options[128];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
		die("unshare");
	write_file("/proc/self/setgroups", "deny");
	snprintf(map, sizeof map, "%u %u 1", uid, uid);
	write_file("/proc/self/uid_map", map);
	snprintf(map, sizeof map, "%u %u 1", gid, gid);
	write_file("/proc/self/gid_map", map);
	int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0)
		die("/dev/fuse");
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%u,group_id=%u", device, uid, gid);
	if (mount("attack", "/tmp", "fuse", MS_NOSUID | MS_NODEV, options) < 0)
		die("mount fuse");
	pid_t server = fork();
	if (server == 0) {
		close(to);
		fuse_serve(device, fault);
		_exit(0);
	}
	close(device);
	int file = open("/tmp/file", O_RDWR);
	if (file < 0)
		die("/tmp/file");
	if (send_with(to, &server, sizeof server, &file, 1, 0) < 0)
		die("sendmsg");
	/* The file stays open: its own close would wait too. */
	for (;;)
		pause();
}

/*
 * The open file, and in `server` the process to end first: everything that waits for it goes on then.
 * Returns -1 where the system has no FUSE for users.
 */
static inline int fuse_file(struct fuse_fault fault, pid_t *server)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		die("socketpair");
	pid_t child = fork();
	if (child == 0) {
		close(pair[0]);
		fuse_mount(pair[1], fault);
	}
	close(pair[1]);
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr header;
	} control;
	struct iovec part = {server, sizeof *server};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	ssize_t got = recvmsg(pair[0], &message, MSG_CMSG_CLOEXEC);
	close(pair[0]);
	if (got != sizeof *server) {
		waitpid(child, NULL, 0);
		return -1;
	}
	return *(int *)CMSG_DATA(&control.header);
}

#endif
