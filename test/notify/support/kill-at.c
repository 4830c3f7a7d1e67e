/*
 * kill-at N FOLDER COMMAND...
 *
 * Runs a command and kills it by SIGKILL before the Nth of its system calls that change a file below
 * FOLDER. Exit status 137 if it was killed so, otherwise the command's own; SIGTERM is passed on.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t child;
static const char *folder;

static void pass_on(int signal)
{
	kill(child, signal);
}

static int is_below(const char *path)
{
	return strncmp(path, folder, strlen(folder)) == 0;
}

/* A string of the traced thread; it may be cut. */
static int text_at(pid_t thread, unsigned long address, char *text, size_t size)
{
	struct iovec ours = { text, size - 1 }, theirs = { (void *)address, size - 1 };
	ssize_t length = process_vm_readv(thread, &ours, 1, &theirs, 1, 0);
	if (length < 0) {
		/* It may end before the end of its page. */
		theirs.iov_len = 4096 - address % 4096;
		if (theirs.iov_len >= size) theirs.iov_len = size - 1;
		length = process_vm_readv(thread, &ours, 1, &theirs, 1, 0);
	}
	if (length < 0) return 0;
	text[length] = 0;
	return 1;
}

static int path_is_below(pid_t thread, unsigned long address)
{
	char text[PATH_MAX];
	return text_at(thread, address, text, sizeof text) && is_below(text);
}

static int file_is_below(unsigned long fd)
{
	char link[64], path[PATH_MAX];
	snprintf(link, sizeof link, "/proc/%d/fd/%d", child, (int)fd);
	ssize_t length = readlink(link, path, sizeof path - 1);
	if (length < 0) return 0;
	path[length] = 0;
	return is_below(path);
}

/* Whether a system call that begins changes a file there. */
static int changes(pid_t thread, const struct user_regs_struct *regs)
{
	switch (regs->orig_rax) {
	case SYS_open:
		return (regs->rsi & O_CREAT) && path_is_below(thread, regs->rdi);
	case SYS_openat:
		return (regs->rdx & O_CREAT) && path_is_below(thread, regs->rsi);
	case SYS_write:
	case SYS_pwrite64:
	case SYS_writev:
	case SYS_ftruncate:
	case SYS_fchmod:
		return file_is_below(regs->rdi);
	case SYS_rename:
	case SYS_unlink:
	case SYS_mkdir:
		return path_is_below(thread, regs->rdi);
	case SYS_renameat:
	case SYS_renameat2:
	case SYS_unlinkat:
	case SYS_mkdirat:
		return path_is_below(thread, regs->rsi);
	}
	return 0;
}

int main(int count, char **words)
{
	if (count < 4) return 2;
	long left = atol(words[1]);
	folder = words[2];
	child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execvp(words[3], words + 3);
		_exit(127);
	}
	int status;
	if (waitpid(child, &status, 0) != child) return 2;
	ptrace(PTRACE_SETOPTIONS, child, 0,
	       PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
	signal(SIGTERM, pass_on);
	ptrace(PTRACE_SYSCALL, child, 0, 0);
	for (;;) {
		pid_t thread = waitpid(-1, &status, __WALL);
		if (thread < 0) {
			if (errno == EINTR) continue;
			return 2;
		}
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			if (thread != child) continue;
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
		int signal = WSTOPSIG(status), pass = 0;
		if (signal == (SIGTRAP | 0x80)) {
			struct __ptrace_syscall_info info;
			long size = ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
			struct user_regs_struct regs;
			if (size > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY &&
			    ptrace(PTRACE_GETREGS, thread, 0, &regs) == 0 && changes(thread, &regs) &&
			    --left == 0)
				kill(child, SIGKILL);
		} else if (status >> 16 == 0 && signal != SIGSTOP && signal != SIGTRAP) {
			pass = signal;
		}
		ptrace(PTRACE_SYSCALL, thread, 0, pass);
	}
}
