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
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
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

static void *reap_all(void *nothing)
{
	for (;;)
		if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
			usleep(1000);
	return nothing;
}

static volatile sig_atomic_t is_told;

static void note(int number)
{
	(void)number;
	is_told = 1;
}

#define LOGINS 8

/* One of the logins of a server with threads. */
static void *log_in(void *service)
{
	const struct pam_conv conversation = { converse, NULL };
	pam_handle_t *pamh = NULL;

	if (pam_start(service, "nobody", &conversation, &pamh) != PAM_SUCCESS ||
	    pam_open_session(pamh, 0) != PAM_SUCCESS)
		abort();
	pam_end(pamh, PAM_SUCCESS);
	return NULL;
}

/* All at once; the handler is to be the same afterwards. */
static int log_in_by_threads(char *service)
{
	struct sigaction after;
	pthread_t threads[LOGINS];

	signal(SIGCHLD, note);
	for (int i = 0; i < LOGINS; i++)
		pthread_create(&threads[i], NULL, log_in, service);
	for (int i = 0; i < LOGINS; i++)
		pthread_join(threads[i], NULL);
	sigaction(SIGCHLD, NULL, &after);
	puts(after.sa_handler == note ? "the same" : "another");
	return 0;
}

static void behave(const char *how)
{
	if (strcmp(how, "ignores-children") == 0) {
		signal(SIGCHLD, SIG_IGN);
	} else if (strcmp(how, "reaps-children") == 0) {
		signal(SIGCHLD, reap);
	} else if (strcmp(how, "reaps-in-a-thread") == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, reap_all, NULL);
	} else if (strcmp(how, "has-a-child") == 0) {
		signal(SIGCHLD, note);
		if (fork() == 0) {
			pause();
			_exit(0);
		}
	} else if (strcmp(how, "blocks-signals") == 0) {
		sigset_t all;

		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
	} else if (strcmp(how, "has-limits") == 0) {
		/* 512 MB of addresses, 64 kB a file: what pam_limits may have set for the user. */
		const struct rlimit addresses = { 512 << 20, RLIM_INFINITY }, file = { 64 << 10, RLIM_INFINITY };
		/* And what su's caller may have. */
		const struct rlimit stack = { 64 << 10, RLIM_INFINITY };
		struct rlimit files;

		setrlimit(RLIMIT_AS, &addresses);
		setrlimit(RLIMIT_FSIZE, &file);
		setrlimit(RLIMIT_STACK, &stack);
		getrlimit(RLIMIT_NOFILE, &files);
		files.rlim_cur = 8;
		setrlimit(RLIMIT_NOFILE, &files);
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

	if (argc == 3 && strcmp(argv[2], "+threads") == 0)
		return log_in_by_threads(argv[1]);
	if (argc < 3 || pam_start(argv[1], argv[2], &conversation, &pamh) != PAM_SUCCESS)
		return 2;
	for (int i = 3; i < argc; i++) {
		size_t at;

		if (strcmp(argv[i], "+closes-stdio") == 0) {
			closes = 1;
			continue;
		}
		if (strcmp(argv[i], "+huge") == 0) {
			/* More than execve(2) takes. */
			static char value[200000], variable[sizeof(value) + 64];

			memset(value, 'x', sizeof(value) - 1);
			snprintf(variable, sizeof(variable), "XDG_SESSION_TYPE=%s", value);
			pam_putenv(pamh, variable);
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
	if (is_told)
		puts("TOLD=yes");
	for (char **line = pam_getenvlist(pamh); line != NULL && *line != NULL; line++)
		puts(*line);
	putchar('\n');
	fflush(stdout);
	if (getchar() != '\n')
		return 3;
	printf("close %d\n", pam_close_session(pamh, 0));
	return pam_end(pamh, PAM_SUCCESS);
}
