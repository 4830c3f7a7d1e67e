/*
 * older-kernel PROGRAM [WORD...]: runs a program to which the kernel answers as one before Linux 6.16
 * does: it knows no SO_PASSRIGHTS, and its filters of sockets cannot ask who sends.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of the kernel's asm-generic/socket.h, which the C library's headers may be too old for. */
#define PASSRIGHTS 83

#define NUMBER offsetof(struct seccomp_data, nr)
#define ARGUMENT(n) (offsetof(struct seccomp_data, args) + (n) * 8)
#define LOAD(at) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
/* Goes on if it is the value, and else past the `skipped` after it. */
#define UNLESS(value, skipped) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skipped))
#define IF(value, skipped) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (skipped), 0)
#define ANSWER(what) BPF_STMT(BPF_RET | BPF_K, (what))

int main(int argc, char **argv)
{
	struct sock_filter program[] = {
		LOAD(NUMBER),
		/* The program that asks is refused when it is loaded, with all others of its kind. */
		UNLESS(SYS_bpf, 4),
		LOAD(ARGUMENT(0)),
		UNLESS(BPF_PROG_LOAD, 1),
		ANSWER(SECCOMP_RET_ERRNO | EINVAL),
		ANSWER(SECCOMP_RET_ALLOW),
		IF(SYS_setsockopt, 1),
		UNLESS(SYS_getsockopt, 5),
		LOAD(ARGUMENT(1)),
		UNLESS(SOL_SOCKET, 3),
		LOAD(ARGUMENT(2)),
		UNLESS(PASSRIGHTS, 1),
		ANSWER(SECCOMP_RET_ERRNO | ENOPROTOOPT),
		ANSWER(SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof(program) / sizeof(*program), program};

	if (argc < 2) {
		fprintf(stderr, "usage: older-kernel PROGRAM [WORD...]\n");
		return 2;
	}
	/* Root needs no no_new_privs for it, which would change more than it says. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0) {
		perror("older-kernel: a filter of system calls");
		return 1;
	}
	execvp(argv[1], argv + 1);
	perror(argv[1]);
	return 1;
}
