/*
 * Starts a login1 server on the system bus and measures it: the same calls, by
 * the same code, whichever server it is. In C on sd-bus, so that the client's
 * own cost is small.
 *
 *   client CALLS SESSIONS WARM_UP IDLE_SECONDS UID -- SERVER [ARGUMENT...]
 *
 * prints one JSON object. The server's output goes to standard error.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <time.h>
#include <unistd.h>

#define NAME "org.freedesktop.login1"
#define PATH "/org/freedesktop/login1"
#define MANAGER "org.freedesktop.login1.Manager"
#define START_LIMIT 20000000
#define IN_FLIGHT 8

static sd_bus *bus;
static pid_t server;

static void fail(const char *what, int error) {
        fprintf(stderr, "client: %s: %s\n", what, strerror(error < 0 ? -error : error));
        exit(1);
}

static int check(int result, const char *what) {
        if (result < 0)
                fail(what, result);
        return result;
}

static double now(void) {
        struct timespec at;
        clock_gettime(CLOCK_MONOTONIC, &at);
        return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* A process that waits, and ends with this one. */
static pid_t start_leader(void) {
        pid_t pid = fork();
        if (pid < 0)
                fail("fork", errno);
        if (pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                for (;;)
                        pause();
        }
        return pid;
}

static int on_owner(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *name, *before, *after;
        (void)error;
        check(sd_bus_message_read(message, "sss", &name, &before, &after), "NameOwnerChanged");
        *(int *)userdata = *after != '\0';
        return 0;
}

/* Starts the server; how long it takes from exec to owning the name, in seconds. */
static double start_server(char **command) {
        int owned = 0;
        check(sd_bus_match_signal(bus, NULL, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                  "org.freedesktop.DBus", "NameOwnerChanged", on_owner, &owned),
              "AddMatch");
        double begin = now();
        server = fork();
        if (server < 0)
                fail("fork", errno);
        if (server == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                dup2(STDERR_FILENO, STDOUT_FILENO);
                execv(command[0], command);
                fail(command[0], errno);
        }
        while (!owned) {
                if (waitpid(server, NULL, WNOHANG) == server)
                        fail("the server ended at its start", ESRCH);
                if (now() - begin > START_LIMIT / 1e6)
                        fail("the server did not take the name", ETIMEDOUT);
                int handled = check(sd_bus_process(bus, NULL), "process");
                if (handled == 0)
                        check(sd_bus_wait(bus, 100000), "wait");
        }
        return now() - begin;
}

struct memory {
        long rss, pss, uss, anonymous;
};

static struct memory memory_of(pid_t pid) {
        struct memory found = {0, 0, 0, 0};
        char line[256];
        snprintf(line, sizeof line, "/proc/%d/smaps_rollup", pid);
        FILE *file = fopen(line, "re");
        if (!file)
                fail(line, errno);
        while (fgets(line, sizeof line, file)) {
                char key[64];
                long value;
                if (sscanf(line, "%63[^:]: %ld kB", key, &value) != 2)
                        continue;
                if (strcmp(key, "Rss") == 0)
                        found.rss = value;
                else if (strcmp(key, "Pss") == 0)
                        found.pss = value;
                else if (strcmp(key, "Anonymous") == 0)
                        found.anonymous = value;
                else if (strcmp(key, "Private_Clean") == 0 || strcmp(key, "Private_Dirty") == 0)
                        found.uss += value;
        }
        fclose(file);
        return found;
}

static void print_memory(const char *when) {
        struct memory found = memory_of(server);
        printf("\"%sRss\":%ld,\"%sPss\":%ld,", when, found.rss, when, found.pss);
        printf("\"%sUss\":%ld,\"%sAnonymous\":%ld,", when, found.uss, when, found.anonymous);
}

/* The processor time that a process has used, in seconds. */
static double processor_time(pid_t pid) {
        struct timespec used;
        clockid_t clock;
        if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
                fail("the server's processor time", errno);
        return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static void count_sessions(sd_bus_message *reply, int expected) {
        int count = 0;
        check(sd_bus_message_enter_container(reply, 'a', "(susso)"), "ListSessions");
        while (check(sd_bus_message_skip(reply, "(susso)"), "ListSessions") > 0) {
                count++;
                if (sd_bus_message_at_end(reply, 0) > 0)
                        break;
        }
        if (count != expected) {
                fprintf(stderr, "client: %d sessions listed, %d made\n", count, expected);
                exit(1);
        }
}

static sd_bus_message *list_request(void) {
        sd_bus_message *request;
        check(sd_bus_message_new_method_call(bus, &request, NAME, PATH, MANAGER, "ListSessions"),
              "ListSessions");
        return request;
}

/* One ListSessions call after the other; in seconds. */
static double list_in_turn(int calls, int sessions) {
        double begin = now();
        for (int call = 0; call < calls; call++) {
                sd_bus_message *request = list_request(), *reply = NULL;
                check(sd_bus_call(bus, request, 0, NULL, &reply), "ListSessions");
                if (call == 0)
                        count_sessions(reply, sessions);
                sd_bus_message_unref(reply);
                sd_bus_message_unref(request);
        }
        return now() - begin;
}

static int on_list(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        (void)error;
        if (sd_bus_message_is_method_error(reply, NULL))
                fail("ListSessions", sd_bus_message_get_errno(reply));
        ++*(int *)userdata;
        return 0;
}

/* ListSessions calls, IN_FLIGHT of them unanswered at any moment; in seconds. */
static double list_in_flight(int calls) {
        int sent = 0, answered = 0;
        double begin = now();
        while (answered < calls) {
                for (; sent < calls && sent - answered < IN_FLIGHT; sent++) {
                        sd_bus_message *request = list_request();
                        check(sd_bus_call_async(bus, NULL, request, on_list, &answered, 0),
                              "ListSessions");
                        sd_bus_message_unref(request);
                }
                if (check(sd_bus_process(bus, NULL), "process") == 0)
                        check(sd_bus_wait(bus, UINT64_MAX), "wait");
        }
        return now() - begin;
}

/* CreateSession until its reply, in seconds; the descriptor stays open. */
static double create_session(uint32_t uid) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        pid_t leader = start_leader();
        double begin = now();
        int result = sd_bus_call_method(bus, NAME, PATH, MANAGER, "CreateSession", &error, &reply,
                                        "uusssssussbssa(sv)", uid, (uint32_t)leader, "bench",
                                        "tty", "user", "", "", (uint32_t)0, "", "", 0, "", "", 0);
        double took = now() - begin;
        if (result < 0) {
                fprintf(stderr, "client: CreateSession: %s\n", error.message);
                exit(1);
        }
        const char *id;
        int fd;
        check(sd_bus_message_read(reply, "soshusub", &id, NULL, NULL, &fd, NULL, NULL, NULL, NULL),
              "CreateSession's reply");
        if (*id == '\0' || dup(fd) < 0)
                fail("CreateSession's descriptor", errno);
        sd_bus_message_unref(reply);
        return took;
}

static void measure_lists(const char *label, int warm_up, int calls, int sessions) {
        list_in_turn(warm_up, sessions);
        double before = processor_time(server);
        printf("\"%sInTurn\":%f,", label, calls / list_in_turn(calls, sessions));
        printf("\"%sCost\":%f,", label, (processor_time(server) - before) / calls * 1e6);
        printf("\"%sInFlight\":%f,", label, calls / list_in_flight(calls));
}

int main(int argc, char **argv) {
        if (argc < 8 || strcmp(argv[6], "--") != 0) {
                fputs("usage: client CALLS SESSIONS WARM_UP IDLE UID -- SERVER...\n", stderr);
                return 2;
        }
        int calls = atoi(argv[1]), sessions = atoi(argv[2]), warm_up = atoi(argv[3]);
        double idle = atof(argv[4]);
        uint32_t uid = (uint32_t)atoi(argv[5]);

        check(sd_bus_open_system(&bus), "the system bus");
        printf("{\"start\":%f,", start_server(argv + 7) * 1e3);
        usleep((useconds_t)(idle * 1e6));
        print_memory("idle");

        printf("\"createFirst\":%f,", create_session(uid) * 1e3);
        measure_lists("one", warm_up, calls, 1);
        printf("\"create\":[");
        for (int session = 2; session <= sessions; session++)
                printf("%s%f", session == 2 ? "" : ",", create_session(uid) * 1e3);
        printf("],");
        measure_lists("all", warm_up, calls, sessions);
        print_memory("called");

        kill(server, SIGTERM);
        waitpid(server, NULL, 0);
        printf("\"calls\":%d}\n", 2 * warm_up + 4 * calls);
        return 0;
}
