/*
 * Starts a login1 server on the system bus and measures it: the same calls, by
 * the same code, whichever server it is. In C on sd-bus, so that the client's
 * own cost is small.
 *
 *   client CALLS SESSIONS LOGINS WARM_UP IDLE_SECONDS UID -- SERVER [ARGUMENT...]
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
#define END_LIMIT 10000000
#define FEW_IN_FLIGHT 8
#define MANY_IN_FLIGHT 64
#define FIRST_LOGINS 20
/* So many times the calls in turn, which take longer. */
#define TIMES_IN_FLIGHT 5

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
        /* Unique names come and go by the same signal. */
        if (strcmp(name, NAME) == 0)
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

static int count_sessions(sd_bus_message *reply) {
        int count = 0;
        check(sd_bus_message_enter_container(reply, 'a', "(susso)"), "ListSessions");
        while (check(sd_bus_message_at_end(reply, 0), "ListSessions") == 0) {
                check(sd_bus_message_skip(reply, "(susso)"), "ListSessions");
                count++;
        }
        return count;
}

/* A call that is repeated: what to send. */
typedef sd_bus_message *(*request_maker)(void);

static sd_bus_message *list_request(void) {
        sd_bus_message *request;
        check(sd_bus_message_new_method_call(bus, &request, NAME, PATH, MANAGER, "ListSessions"),
              "ListSessions");
        return request;
}

/* The object of the session that was made first. */
static char *session_path;

static sd_bus_message *get_all_request(void) {
        sd_bus_message *request;
        check(sd_bus_message_new_method_call(bus, &request, NAME, session_path,
                                             "org.freedesktop.DBus.Properties", "GetAll"),
              "GetAll");
        check(sd_bus_message_append(request, "s", "org.freedesktop.login1.Session"), "GetAll");
        return request;
}

/* One call after the other; in seconds. */
static double call_in_turn(request_maker make, int calls) {
        double begin = now();
        for (int call = 0; call < calls; call++) {
                sd_bus_message *request = make(), *reply = NULL;
                check(sd_bus_call(bus, request, 0, NULL, &reply), "a call in turn");
                sd_bus_message_unref(reply);
                sd_bus_message_unref(request);
        }
        return now() - begin;
}

static int on_answer(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        (void)error;
        if (sd_bus_message_is_method_error(reply, NULL))
                fail("a call in flight", sd_bus_message_get_errno(reply));
        ++*(int *)userdata;
        return 0;
}

/* Calls, `most` of them unanswered at any moment; in seconds. */
static double call_in_flight(request_maker make, int calls, int most) {
        int sent = 0, answered = 0;
        double begin = now();
        while (answered < calls) {
                for (; sent < calls && sent - answered < most; sent++) {
                        sd_bus_message *request = make();
                        check(sd_bus_call_async(bus, NULL, request, on_answer, &answered, 0),
                              "a call in flight");
                        sd_bus_message_unref(request);
                }
                if (check(sd_bus_process(bus, NULL), "process") == 0)
                        check(sd_bus_wait(bus, UINT64_MAX), "wait");
        }
        return now() - begin;
}

/* How many sessions there are. */
static int listed_sessions(void) {
        sd_bus_message *request = list_request(), *reply = NULL;
        check(sd_bus_call(bus, request, 0, NULL, &reply), "ListSessions");
        int count = count_sessions(reply);
        sd_bus_message_unref(reply);
        sd_bus_message_unref(request);
        return count;
}

/* Whether there are as many sessions as were made. */
static void expect_sessions(int expected) {
        int count = listed_sessions();
        if (count != expected) {
                fprintf(stderr, "client: %d sessions listed, %d made\n", count, expected);
                exit(1);
        }
}

/* A session that the client made, and what it has to take back. */
struct session {
        pid_t leader;
        char *id, *path;
        int fd;
        double took;
};

/* CreateSession until its reply. */
static struct session create_session(uint32_t uid) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        struct session made = {.leader = start_leader()};
        double begin = now();
        int result = sd_bus_call_method(bus, NAME, PATH, MANAGER, "CreateSession", &error, &reply,
                                        "uusssssussbssa(sv)", uid, (uint32_t)made.leader, "bench",
                                        "tty", "user", "", "", (uint32_t)0, "", "", 0, "", "", 0);
        made.took = now() - begin;
        if (result < 0) {
                fprintf(stderr, "client: CreateSession: %s\n", error.message);
                exit(1);
        }
        const char *id, *path;
        int fd;
        check(sd_bus_message_read(reply, "soshusub", &id, &path, NULL, &fd, NULL, NULL, NULL, NULL),
              "CreateSession's reply");
        if (*id == '\0' || (made.fd = dup(fd)) < 0)
                fail("CreateSession's descriptor", errno);
        made.id = strdup(id);
        made.path = strdup(path);
        sd_bus_message_unref(reply);
        return made;
}

static int on_removed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *id, *path;
        (void)error;
        check(sd_bus_message_read(message, "so", &id, &path), "SessionRemoved");
        struct session *awaited = userdata;
        if (awaited->id && strcmp(id, awaited->id) == 0) {
                free(awaited->id);
                awaited->id = NULL;
        }
        return 0;
}

/* A login and its end: CreateSession and ReleaseSession until their replies, in
 * seconds. That the leader leaves and the session goes is waited for, not measured. */
static double create_and_release(uint32_t uid) {
        static struct session awaited;
        static int listening;
        if (!listening++)
                check(sd_bus_match_signal(bus, NULL, NAME, PATH, MANAGER, "SessionRemoved",
                                          on_removed, &awaited),
                      "AddMatch");
        struct session made = create_session(uid);
        awaited = made;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        double begin = now();
        int result = sd_bus_call_method(bus, NAME, PATH, MANAGER, "ReleaseSession", &error, NULL,
                                        "s", made.id);
        double took = made.took + now() - begin;
        if (result < 0) {
                fprintf(stderr, "client: ReleaseSession: %s\n", error.message);
                exit(1);
        }
        close(made.fd);
        kill(made.leader, SIGKILL);
        waitpid(made.leader, NULL, 0);
        begin = now();
        while (awaited.id) {
                if (now() - begin > END_LIMIT / 1e6)
                        fail("the session did not end", ETIMEDOUT);
                if (check(sd_bus_process(bus, NULL), "process") == 0)
                        check(sd_bus_wait(bus, 100000), "wait");
        }
        free(made.path);
        return took;
}

/* Logins that do not wait for each other. */
static size_t logins_done;

static void expect_answer(sd_bus_message *reply, const char *call) {
        const sd_bus_error *error = sd_bus_message_get_error(reply);
        if (!error)
                return;
        fprintf(stderr, "client: %s in flight: %s\n", call, error->message);
        exit(1);
}

static int on_released(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        struct session *session = userdata;
        (void)error;
        expect_answer(reply, "ReleaseSession");
        close(session->fd);
        logins_done++;
        return 0;
}

static int on_created(sd_bus_message *reply, void *userdata, sd_bus_error *error) {
        struct session *session = userdata;
        const char *id;
        int fd;
        (void)error;
        expect_answer(reply, "CreateSession");
        check(sd_bus_message_read(reply, "soshusub", &id, NULL, NULL, &fd, NULL, NULL, NULL, NULL),
              "CreateSession's reply");
        if ((session->fd = dup(fd)) < 0)
                fail("CreateSession's descriptor", errno);
        check(sd_bus_call_method_async(bus, NULL, NAME, PATH, MANAGER, "ReleaseSession", on_released,
                                       session, "s", id),
              "ReleaseSession in flight");
        return 0;
}

/* Logins and their ends, `most` at a time, until their replies; in seconds. The leaders
 * run before and until after, so that nothing of them is measured. */
static double log_in_in_flight(uint32_t uid, size_t logins, size_t most) {
        struct session *made = calloc(logins, sizeof *made);
        if (!made)
                fail("calloc", errno);
        for (size_t login = 0; login < logins; login++)
                made[login].leader = start_leader();
        logins_done = 0;
        size_t sent = 0;
        double begin = now();
        while (logins_done < logins) {
                for (; sent < logins && sent - logins_done < most; sent++)
                        check(sd_bus_call_method_async(
                                  bus, NULL, NAME, PATH, MANAGER, "CreateSession", on_created,
                                  &made[sent], "uusssssussbssa(sv)", uid,
                                  (uint32_t)made[sent].leader, "bench", "tty", "user", "", "",
                                  (uint32_t)0, "", "", 0, "", "", 0),
                              "CreateSession in flight");
                if (check(sd_bus_process(bus, NULL), "process") == 0)
                        check(sd_bus_wait(bus, UINT64_MAX), "wait");
        }
        double took = now() - begin;
        for (size_t login = 0; login < logins; login++) {
                kill(made[login].leader, SIGKILL);
                waitpid(made[login].leader, NULL, 0);
        }
        free(made);
        return took;
}

/* Waits until just so many sessions are left. */
static void await_sessions(int expected) {
        double begin = now();
        while (listed_sessions() != expected) {
                if (now() - begin > END_LIMIT / 1e6)
                        fail("the sessions did not end", ETIMEDOUT);
                usleep(10000);
        }
}

/* `calls` of one kind: in turn, with the server's cost of each, and in flight. */
static void measure_calls(const char *label, request_maker make, int warm_up, int calls) {
        call_in_turn(make, warm_up);
        double before = processor_time(server);
        printf("\"%sInTurn\":%f,", label, calls / call_in_turn(make, calls));
        printf("\"%sCost\":%f,", label, (processor_time(server) - before) / calls * 1e6);
        calls *= TIMES_IN_FLIGHT;
        printf("\"%sFew\":%f,", label, calls / call_in_flight(make, calls, FEW_IN_FLIGHT));
        before = processor_time(server);
        printf("\"%sMany\":%f,", label, calls / call_in_flight(make, calls, MANY_IN_FLIGHT));
        printf("\"%sManyCost\":%f,", label, (processor_time(server) - before) / calls * 1e6);
}

int main(int argc, char **argv) {
        if (argc < 9 || strcmp(argv[7], "--") != 0) {
                fputs("usage: client CALLS SESSIONS LOGINS WARM_UP IDLE UID -- SERVER...\n", stderr);
                return 2;
        }
        int calls = atoi(argv[1]), sessions = atoi(argv[2]);
        size_t logins = strtoul(argv[3], NULL, 10);
        int warm_up = atoi(argv[4]);
        double idle = atof(argv[5]);
        uint32_t uid = (uint32_t)atoi(argv[6]);

        check(sd_bus_open_system(&bus), "the system bus");
        printf("{\"start\":%f,", start_server(argv + 8) * 1e3);
        usleep((useconds_t)(idle * 1e6));
        print_memory("idle");

        struct session first = create_session(uid);
        session_path = first.path;
        printf("\"createFirst\":%f,", first.took * 1e3);
        expect_sessions(1);
        measure_calls("one", list_request, warm_up, calls);
        measure_calls("getAll", get_all_request, warm_up, calls);
        printf("\"create\":[");
        for (int session = 2; session <= sessions; session++)
                printf("%s%f", session == 2 ? "" : ",", create_session(uid).took * 1e3);
        printf("],");
        expect_sessions(sessions);
        measure_calls("all", list_request, warm_up, calls);
        print_memory("called");
        printf("\"logins\":[");
        for (size_t login = 0; login < FIRST_LOGINS; login++)
                printf("%s%f", login == 0 ? "" : ",", create_and_release(uid) * 1e3);
        printf("],");
        for (size_t login = 0; login < logins / 2; login++)
                create_and_release(uid);
        double took = 0, before = processor_time(server);
        for (size_t login = 0; login < logins; login++)
                took += create_and_release(uid);
        printf("\"loginsInTurn\":%f,", (double)logins / took);
        printf("\"loginsCost\":%f,", (processor_time(server) - before) / (double)logins * 1e6);
        /* Each has a leader that runs all the while. */
        logins /= 4;
        printf("\"loginsMany\":%f,", (double)logins / log_in_in_flight(uid, logins, MANY_IN_FLIGHT));
        await_sessions(sessions);

        kill(server, SIGTERM);
        waitpid(server, NULL, 0);
        printf("\"calls\":%d}\n", 3 * (warm_up + calls * (1 + 2 * TIMES_IN_FLIGHT)));
        return 0;
}
