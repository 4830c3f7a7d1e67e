/*
 * A login program, as far as PAM sees one:
 *
 *   login SERVICE USER [tty=|rhost=|ruser=|xdisplay=VALUE | NAME=VALUE | +HOW]...
 *
 * opens a session with these items and variables, prints what PAM_open_session gave and then PAM's
 * environment, a line each and an empty one; waits for a line; closes the session, and prints what that
 * gave. HOW is what login programs do that a module may stumble over.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
	const char *word;
	int item;
} ITEMS[] = {
	{ "tty=", PAM_TTY }, { "rhost=", PAM_RHOST }, { "ruser=", PAM_RUSER }, { "xdisplay=", PAM_XDISPLAY },
};

static int converse(int count, const struct pam_message **messages, struct pam_response **responses, void *data)
{
	(void)messages;
	(void)data;
	*responses = calloc((size_t)count, sizeof(**responses));
	return *responses == NULL ? PAM_BUF_ERR : PAM_SUCCESS;
}

static void reap(int number)
{
	(void)number;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void behave(const char *how)
{
	if (strcmp(how, "ignores-children") == 0) {
		signal(SIGCHLD, SIG_IGN);
	} else if (strcmp(how, "reaps-children") == 0) {
		signal(SIGCHLD, reap);
	} else if (strcmp(how, "blocks-signals") == 0) {
		sigset_t all;

		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
	} else if (strcmp(how, "has-limits") == 0) {
		/* 512 MB of addresses, 64 kB a file: what pam_limits may have set for the user. */
		const struct rlimit addresses = { 512 << 20, RLIM_INFINITY }, file = { 64 << 10, RLIM_INFINITY };

		setrlimit(RLIMIT_AS, &addresses);
		setrlimit(RLIMIT_FSIZE, &file);
	} else if (strcmp(how, "is-setuid") == 0) {
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 0, 0) < 0)
			abort();
	} else if (strcmp(how, "is-nobody") == 0) {
		if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
			abort();
	} else {
		abort();
	}
}

int main(int argc, char **argv)
{
	const struct pam_conv conversation = { converse, NULL };
	pam_handle_t *pamh = NULL;
	int low[3] = { -1, -1, -1 };
	int closes = 0, result;

	if (argc < 3 || pam_start(argv[1], argv[2], &conversation, &pamh) != PAM_SUCCESS)
		return 2;
	for (int i = 3; i < argc; i++) {
		size_t at;

		if (strcmp(argv[i], "+closes-stdio") == 0) {
			closes = 1;
			continue;
		}
		if (argv[i][0] == '+') {
			behave(argv[i] + 1);
			continue;
		}
		for (at = 0; at < sizeof(ITEMS) / sizeof(ITEMS[0]); at++) {
			const size_t length = strlen(ITEMS[at].word);

			if (strncmp(argv[i], ITEMS[at].word, length) == 0) {
				pam_set_item(pamh, ITEMS[at].item, argv[i] + length);
				break;
			}
		}
		if (at == sizeof(ITEMS) / sizeof(ITEMS[0]) && pam_putenv(pamh, argv[i]) != PAM_SUCCESS)
			return 2;
	}
	/* As login does. What is opened next is one of the three. */
	for (int fd = 0; closes && fd < 3; fd++) {
		low[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
		close(fd);
	}
	result = pam_open_session(pamh, 0);
	for (int fd = 0; closes && fd < 3; fd++)
		dup2(low[fd], fd);
	printf("open %d\n", result);
	for (char **line = pam_getenvlist(pamh); line != NULL && *line != NULL; line++)
		puts(*line);
	putchar('\n');
	fflush(stdout);
	if (getchar() != '\n')
		return 3;
	printf("close %d\n", pam_close_session(pamh, 0));
	return pam_end(pamh, PAM_SUCCESS);
}
