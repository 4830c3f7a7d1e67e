/*
 * What a process can reach where it is: every socket, fifo, device, file, directory and process that
 * it sees is tried, and what lets it in is a line, KIND, a tab, and what it is. Nothing is written and
 * nothing is changed: opening for writing truncates nothing, and a directory is probed by a file that
 * has no name (O_TMPFILE) or is removed at once.
 *
 * reach          under the filter that this process has
 * reach FILTER   after setting the filter of system calls in that file
 */
#include "sandboxed.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/un.h>

static void found(const char *kind, const char *what) { printf("%s\t%s\n", kind, what); }

static void try_socket(const char *path, size_t length)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (length >= sizeof address.sun_path)
		return;
	memcpy(address.sun_path, path, length);
	for (int i = 0; i < 3; i++) {
		int fd = socket(AF_UNIX, types[i] | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		/* EAGAIN: its queue is full, but one is let in. */
		if (fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof(sa_family_t) + length) == 0 || errno == EAGAIN)) {
			char name[128];
			snprintf(name, sizeof name, "%s%.*s", path[0] ? "" : "@", (int)length - (path[0] ? 0 : 1), path + (path[0] ? 0 : 1));
			found("socket", name);
			i = 3;
		}
		close(fd);
	}
}

static void try_open(const char *kind, const char *path, int flags)
{
	int fd = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
	/* ENXIO: there is nobody at the other end, or no device behind it, but one may. */
	if (fd < 0)
		return;
	close(fd);
	found(kind, path);
}

static void try_fifo(const char *path)
{
	int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd >= 0 || errno == ENXIO)
		found("fifo-write", path);
	close(fd);
	try_open("fifo-read", path, O_RDONLY);
}

static void try_directory(const char *path)
{
	char probe[4200];
	int fd = open(path, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0 && errno == EOPNOTSUPP) {
		snprintf(probe, sizeof probe, "%s/.reach-%d", path, getpid());
		if (mkdir(probe, 0700) == 0) {
			rmdir(probe);
			found("directory", path);
			return;
		}
	}
	if (fd < 0)
		return;
	close(fd);
	found("directory", path);
}

/* Whether a directory is one of a process, of which there are as many as there are processes. */
static int is_process(const char *path)
{
	return strncmp(path, "/proc/", 6) == 0 && ((path[6] >= '0' && path[6] <= '9') || strcmp(path, "/proc/self") == 0 || strcmp(path, "/proc/thread-self") == 0);
}

static void walk(const char *path)
{
	char child[4096];
	struct dirent *entry;
	DIR *directory = opendir(path);
	if (!directory)
		return;
	while ((entry = readdir(directory))) {
		struct stat status;
		const char *name = entry->d_name;
		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		if (snprintf(child, sizeof child, "%s/%s", strcmp(path, "/") == 0 ? "" : path, name) >= (int)sizeof child)
			continue;
		if (is_process(child) || lstat(child, &status) < 0)
			continue;
		switch (status.st_mode & S_IFMT) {
		case S_IFDIR:
			try_directory(child);
			walk(child);
			break;
		case S_IFSOCK:
			try_socket(child, strlen(child));
			break;
		case S_IFIFO:
			try_fifo(child);
			break;
		case S_IFCHR:
		case S_IFBLK:
			try_open("device-read", child, O_RDONLY);
			try_open("device-write", child, O_WRONLY);
			break;
		case S_IFREG:
			try_open("file", child, O_WRONLY);
			break;
		}
	}
	closedir(directory);
}

static void abstract_sockets(void)
{
	char line[512];
	FILE *file = fopen("/proc/net/unix", "r");
	while (file && fgets(line, sizeof line, file)) {
		char *at = strstr(line, " @");
		if (!at)
			continue;
		at[strlen(at) - 1] = 0;
		at[1] = 0;
		try_socket(at + 1, 1 + strlen(at + 2));
	}
	if (file)
		fclose(file);
}

static void sockets(void)
{
	static const struct { int family, type, protocol; const char *name; } kinds[] = {
		{AF_INET, SOCK_STREAM, 0, "inet"}, {AF_INET6, SOCK_STREAM, 0, "inet6"}, {AF_INET, SOCK_DGRAM, 0, "inet-udp"},
		{AF_INET, SOCK_RAW, 1, "inet-raw"}, {AF_PACKET, SOCK_RAW, 0, "packet"}, {38, SOCK_SEQPACKET, 0, "alg"},
		{40, SOCK_STREAM, 0, "vsock"}, {AF_BLUETOOTH, SOCK_RAW, 1, "bluetooth"}, {AF_KEY, SOCK_RAW, 2, "key"},
		{AF_CAN, SOCK_RAW, 1, "can"}, {30, SOCK_SEQPACKET, 0, "tipc"}, {44, SOCK_RAW, 0, "xdp"}, {43, SOCK_STREAM, 0, "smc"},
	};
	char name[64];
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		int fd = socket(kinds[i].family, kinds[i].type, kinds[i].protocol);
		if (fd >= 0)
			found("family", kinds[i].name);
		close(fd);
	}
	for (int protocol = 0; protocol < 32; protocol++) {
		int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
		snprintf(name, sizeof name, "netlink %d", protocol);
		if (fd >= 0)
			found("family", name);
		close(fd);
	}
}

/* Other processes: one line for each way that is open, with the name of the program and no number. */
static void processes(void)
{
	static const char *const files[] = {"mem", "environ", "root", "cwd", "exe", "fd/0", "maps", "stack", "oom_score_adj", "coredump_filter", "clear_refs", "timerslack_ns"};
	char path[512], comm[64], what[600];
	struct dirent *entry;
	DIR *proc = opendir("/proc");
	while (proc && (entry = readdir(proc))) {
		int pid = atoi(entry->d_name);
		/* Our own parents are this test's. */
		if (pid <= 0 || pid == getpid() || pid == getppid())
			continue;
		snprintf(path, sizeof path, "/proc/%d/comm", pid);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t length = fd < 0 ? -1 : read(fd, comm, sizeof comm - 1);
		close(fd);
		if (length <= 0)
			continue;
		comm[length - 1] = 0;
		/* Threads of the kernel take no notice of either. */
		snprintf(path, sizeof path, "/proc/%d/exe", pid);
		if (kill(pid, 0) == 0)
			found("signal", comm);
		struct rlimit limit;
		if (prlimit(pid, RLIMIT_NOFILE, NULL, &limit) == 0 && prlimit(pid, RLIMIT_NOFILE, &limit, NULL) == 0)
			found("prlimit", comm);
		for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
			snprintf(path, sizeof path, "/proc/%d/%s", pid, files[i]);
			snprintf(what, sizeof what, "%s %s", comm, files[i]);
			int is_link = i == 2 || i == 3 || i == 4;
			int opened = open(path, (i == 8 || i == 9 || i == 10 || i == 11 ? O_WRONLY : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (i == 2 || i == 3 ? O_DIRECTORY : 0));
			if (opened < 0)
				continue;
			char byte;
			/* Some open for all and say no at the first read. */
			if (is_link || i == 5 || i >= 8 || pread(opened, &byte, 1, 0) > 0 || i == 0)
				found("process", what);
			close(opened);
		}
	}
	if (proc)
		closedir(proc);
}

/* What it was given: the descriptors that it was started with. */
static void inherited(void)
{
	char path[64], target[4096], what[4200];
	for (int fd = 3; fd < 1024; fd++) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		ssize_t length = readlink(path, target, sizeof target - 1);
		if (length < 0)
			continue;
		target[length] = 0;
		char *number = strchr(target, '[');
		if (number && strncmp(target, "anon_inode", 10) != 0)
			*number = 0;
		snprintf(what, sizeof what, "%s", target);
		found("inherited", what);
	}
}

int main(int argc, char **argv)
{
	setvbuf(stdout, NULL, _IOFBF, 1 << 20);
	signal(SIGPIPE, SIG_IGN);
	inherited();
	if (argc > 1 && set_filter(argv[1]) < 0) {
		perror(argv[1]);
		return 1;
	}
	try_directory("/");
	walk("/");
	abstract_sockets();
	sockets();
	processes();
	printf("end\t\n");
	return 0;
}
