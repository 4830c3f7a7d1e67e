/* A FUSE file system with one file, without libfuse:
 *
 *   fuse PATH UID [own|all] [silent]
 *
 * It is mounted at PATH as by setuid fusermount for the user UID: `own` is for that user only, as it
 * is by default, and `all` for everybody (allow_other). `silent` never answers FUSE_GETATTR. It says "ready" and serves until it is killed. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILE_NODE 2

static int device;
static unsigned owner;

static void answer(unsigned long long id, int error, const void *data, size_t size) {
	struct fuse_out_header head = {
		.len = sizeof(head) + size, .error = error, .unique = id};
	struct iovec parts[] = {{&head, sizeof(head)}, {(void *) data, size}};
	if (writev(device, parts, 2) < 0 && errno != ENOENT) {
		perror("fuse: answer");
		exit(1);
	}
}

static struct fuse_attr attributes(unsigned long long node) {
	int folder = node == FUSE_ROOT_ID;
	return (struct fuse_attr){.ino = node,
				  .mode = folder ? S_IFDIR | 0700 : S_IFREG | 0666,
				  .nlink = folder ? 2 : 1,
				  .uid = owner,
				  .gid = owner};
}

static void serve(int silent) {
	static char buffer[FUSE_MIN_READ_BUFFER * 16];
	while (read(device, buffer, sizeof(buffer)) > 0) {
		const struct fuse_in_header *in = (void *) buffer;
		struct fuse_init_out init = {
			.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = 4096};
		struct fuse_attr_out attr = {.attr = attributes(in->nodeid)};
		struct fuse_entry_out entry = {.nodeid = FILE_NODE, .attr = attributes(FILE_NODE)};
		struct fuse_open_out open = {.fh = 1};
		switch (in->opcode) {
		case FUSE_INIT: answer(in->unique, 0, &init, sizeof(init)); break;
		case FUSE_LOOKUP: answer(in->unique, 0, &entry, sizeof(entry)); break;
		case FUSE_OPEN:
		case FUSE_OPENDIR: answer(in->unique, 0, &open, sizeof(open)); break;
		case FUSE_GETATTR:
			if (!silent)
				answer(in->unique, 0, &attr, sizeof(attr));
			break;
		case FUSE_FORGET:
		case FUSE_BATCH_FORGET:
		case FUSE_INTERRUPT: break;
		case FUSE_FLUSH:
		case FUSE_RELEASE:
		case FUSE_RELEASEDIR: answer(in->unique, 0, NULL, 0); break;
		default: answer(in->unique, -ENOSYS, NULL, 0);
		}
	}
}

int main(int argc, char **argv) {
	char options[200];
	if (argc < 3)
		return 2;
	owner = strtoul(argv[2], NULL, 10);
	int all = argc > 3 && strcmp(argv[3], "all") == 0;
	device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (device < 0) {
		perror("fuse: /dev/fuse");
		return 1;
	}
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=%u,group_id=%u%s", device,
		 owner, owner, all ? ",allow_other" : "");
	if (mount("fuse.p7", argv[1], "fuse.p7", MS_NOSUID | MS_NODEV, options) < 0) {
		perror("fuse: mount");
		return 1;
	}
	printf("ready\n");
	fflush(stdout);
	serve(argc > 4 && strcmp(argv[4], "silent") == 0);
	return 0;
}
