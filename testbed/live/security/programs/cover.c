/*
 * Mounts a FUSE file system of a user's over a directory, as the setuid fusermount does for anybody:
 * root itself is not let in.
 *
 * cover UID DIRECTORY        says "covered" and serves until it is ended
 */
#include "fuse.h"

int main(int argc, char **argv)
{
	char options[128];
	int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (argc != 3 || device < 0)
		die("/dev/fuse");
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%s,group_id=%s", device, argv[1], argv[1]);
	if (mount("attack", argv[2], "fuse", MS_NOSUID | MS_NODEV, options) < 0)
		die("mount");
	printf("covered\n");
	fflush(stdout);
	fuse_serve(device, (struct fuse_fault){0, 0});
	return 0;
}
