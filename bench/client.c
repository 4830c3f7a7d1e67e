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
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
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
/* Each has a connection to the bus, which lets a user have 256. */
#define LOGINS_AT_ONCE 192
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

static int count_sessions(sd_bus_message *reply, const char *wanted) {
        int count = 0;
        const char *id;
        check(sd_bus_message_enter_container(reply, 'a', "(susso)"), "ListSessions");
        while (check(sd_bus_message_at_end(reply, 0), "ListSessions") == 0) {
                check(sd_bus_message_read(reply, "(susso)", &id, NULL, NULL, NULL, NULL),
                      "ListSessions");
                count += !wanted || strcmp(id, wanted) == 0;
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

/* How many sessions there are; with an id, how many of that. */
static int count_listed(const char *wanted) {
        sd_bus_message *request = list_request(), *reply = NULL;
        check(sd_bus_call(bus, request, 0, NULL, &reply), "ListSessions");
        int count = count_sessions(reply, wanted);
        sd_bus_message_unref(reply);
        sd_bus_message_unref(request);
        return count;
}

static int listed_sessions(void) {
        return count_listed(NULL);
}

static int listed(const char *id) {
        return count_listed(id) > 0;
}

/* Whether there are as many sessions as were made. */
static void expect_sessions(int expected) {
        int count = listed_sessions();
        if (count != expected) {
                fprintf(stderr, "client: %d sessions listed, %d made\n", count, expected);
                exit(1);
        }
}

/* A session that stays until the end. */
struct session {
        char *path;
        double took;
};

/* CreateSession until its reply. */
static struct session create_session(uint32_t uid) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        sd_bus_message *reply = NULL;
        struct session made;
        pid_t leader = start_leader();
        double begin = now();
        int result = sd_bus_call_method(bus, NAME, PATH, MANAGER, "CreateSession", &error, &reply,
                                        "uusssssussbssa(sv)", uid, (uint32_t)leader, "bench",
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
        /* The session lasts while this is open. */
        if (*id == '\0' || dup(fd) < 0)
                fail("CreateSession's descriptor", errno);
        made.path = strdup(path);
        sd_bus_message_unref(reply);
        return made;
}

/* A login as PAM makes it: a process with a connection of its own, which is the session's leader, calls
 * CreateSession and ReleaseSession for itself. That it starts, connects and ends is not measured. */
struct login {
        pid_t leader;
        /* A byte to it lets it begin. */
        int go;
        /* The session's, once it is done. It is closed after the leader's end: elogind before 255.24 keeps a
         * session for good whose descriptor is closed while its leader still ends. */
        int fd;
};

/* What a leader tells: that it has connected, or how long both calls took until their replies. With the
 * latter comes the session's descriptor. */
struct report {
        /* Which of those that were started. */
        size_t login;
        double took;
        char id[32];
};

/* A report and at most one descriptor, as sendmsg(2) and recvmsg(2) take them. */
struct parcel {
        struct report report;
        struct iovec data;
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control;
        struct msghdr message;
};

static int reports[2];

static void pack(struct parcel *parcel) {
        parcel->data = (struct iovec){.iov_base = &parcel->report, .iov_len = sizeof parcel->report};
        parcel->message = (struct msghdr){.msg_iov = &parcel->data,
                                          .msg_iovlen = 1,
                                          .msg_control = &parcel->control,
                                          .msg_controllen = sizeof parcel->control};
}

static void send_report(struct report report, int fd) {
        struct parcel parcel = {.report = report};
        pack(&parcel);
        if (fd < 0) {
                parcel.message.msg_controllen = 0;
        } else {
                struct cmsghdr *header = CMSG_FIRSTHDR(&parcel.message);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof fd);
                memcpy(CMSG_DATA(header), &fd, sizeof fd);
        }
        if (sendmsg(reports[1], &parcel.message, 0) < 0)
                fail("a leader's report", errno);
}

static void lead(uint32_t uid, size_t login, int go) {
        sd_bus *own;
        sd_bus_message *reply = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        struct report report = {.login = login};
        const char *id;
        int fd;
        char byte;
        check(sd_bus_open_system(&own), "a leader's bus");
        check(sd_bus_get_unique_name(own, &id), "a leader's connection");
        send_report(report, -1);
        if (read(go, &byte, 1) < 0)
                fail("a leader's pipe", errno);
        double begin = now();
        int result = sd_bus_call_method(own, NAME, PATH, MANAGER, "CreateSession", &error, &reply,
                                        "uusssssussbssa(sv)", uid, (uint32_t)getpid(), "bench",
                                        "tty", "user", "", "", (uint32_t)0, "", "", 0, "", "", 0);
        if (result < 0) {
                fprintf(stderr, "client: CreateSession: %s\n", error.message);
                exit(1);
        }
        check(sd_bus_message_read(reply, "soshusub", &id, NULL, NULL, &fd, NULL, NULL, NULL, NULL),
              "CreateSession's reply");
        snprintf(report.id, sizeof report.id, "%s", id);
        if (sd_bus_call_method(own, NAME, PATH, MANAGER, "ReleaseSession", &error, NULL, "s", id) < 0) {
                fprintf(stderr, "client: ReleaseSession: %s\n", error.message);
                exit(1);
        }
        report.took = now() - begin;
        send_report(report, fd);
        for (;;)
                pause();
}

static struct login start_login(uint32_t uid, size_t login) {
        int go[2];
        if (pipe(go) < 0)
                fail("pipe", errno);
        struct login started = {.leader = fork(), .go = go[1], .fd = -1};
        if (started.leader < 0)
                fail("fork", errno);
        if (started.leader == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                close(go[1]);
                lead(uid, login, go[0]);
        }
        close(go[0]);
        return started;
}

/* The next report, whose descriptor its login then has; meanwhile the signals of the server are taken. A
 * leader that fails ends by itself. */
static struct report next_report(struct login *started) {
        struct parcel parcel = {0};
        for (;;) {
                struct pollfd fds[] = {{.fd = reports[0], .events = POLLIN},
                                       {.fd = sd_bus_get_fd(bus), .events = POLLIN}};
                while (check(sd_bus_process(bus, NULL), "process") > 0)
                        ;
                if (poll(fds, 2, END_LIMIT / 1000) <= 0)
                        fail("a login", ETIMEDOUT);
                if (fds[0].revents & POLLIN)
                        break;
        }
        pack(&parcel);
        if (recvmsg(reports[0], &parcel.message, MSG_CMSG_CLOEXEC) != sizeof parcel.report)
                fail("a leader's report", errno);
        struct cmsghdr *header = CMSG_FIRSTHDR(&parcel.message);
        if (header)
                memcpy(&started[parcel.report.login].fd, CMSG_DATA(header), sizeof(int));
        return parcel.report;
}

static void let_begin(struct login login) {
        if (write(login.go, "", 1) < 0)
                fail("a leader's pipe", errno);
        close(login.go);
}

/* Ends a leader, which stays a zombie until its session is gone: elogind 255 takes one for alive that is
 * just being waited for, and then keeps its session for good. */
static void end_login(struct login login) {
        kill(login.leader, SIGKILL);
        waitid(P_PID, (id_t)login.leader, NULL, WEXITED | WNOWAIT);
        close(login.fd);
}

static int on_removed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
        const char *id, *path;
        (void)error;
        check(sd_bus_message_read(message, "so", &id, &path), "SessionRemoved");
        char *awaited = userdata;
        if (strcmp(id, awaited) == 0)
                *awaited = '\0';
        return 0;
}

/* A login and its end: CreateSession and ReleaseSession until their replies, in
 * seconds. That the session goes is waited for, not measured. */
static double create_and_release(uint32_t uid) {
        static char awaited[32];
        static int listening;
        if (!listening++)
                check(sd_bus_match_signal(bus, NULL, NAME, PATH, MANAGER, "SessionRemoved",
                                          on_removed, awaited),
                      "AddMatch");
        struct login login = start_login(uid, 0);
        next_report(&login);
        let_begin(login);
        struct report report = next_report(&login);
        snprintf(awaited, sizeof awaited, "%s", report.id);
        end_login(login);
        double begin = now();
        /* It may have gone while the report was waited for, when its id was not known yet. */
        while (*awaited && listed(awaited)) {
                if (now() - begin > END_LIMIT / 1e6)
                        fail("the session did not end", ETIMEDOUT);
                if (check(sd_bus_process(bus, NULL), "process") == 0)
                        check(sd_bus_wait(bus, 10000), "wait");
        }
        waitpid(login.leader, NULL, 0);
        return report.took;
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

/* Logins and their ends, `most` at a time, until their replies; in seconds. The leaders run and are
 * connected before, and end after, so that nothing of that is measured. */
static double log_in_in_flight(uint32_t uid, size_t logins, size_t most) {
        int others = listed_sessions();
        struct login *started = calloc(logins, sizeof *started);
        if (!started)
                fail("calloc", errno);
        for (size_t login = 0; login < logins; login++)
                started[login] = start_login(uid, login);
        for (size_t login = 0; login < logins; login++)
                next_report(started);
        size_t begun = 0;
        double begin = now();
        for (size_t done = 0; done < logins; done++) {
                for (; begun < logins && begun - done < most; begun++)
                        let_begin(started[begun]);
                next_report(started);
        }
        double took = now() - begin;
        for (size_t login = 0; login < logins; login++)
                end_login(started[login]);
        await_sessions(others);
        for (size_t login = 0; login < logins; login++)
                waitpid(started[login].leader, NULL, 0);
        free(started);
        return took;
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

        if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, reports) < 0)
                fail("socketpair", errno);
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
        size_t many = 0;
        took = 0;
        do {
                took += log_in_in_flight(uid, LOGINS_AT_ONCE, MANY_IN_FLIGHT);
                many += LOGINS_AT_ONCE;
        } while (many < logins / 4);
        printf("\"loginsMany\":%f,", (double)many / took);

        kill(server, SIGTERM);
        waitpid(server, NULL, 0);
        printf("\"calls\":%d}\n", 3 * (warm_up + calls * (1 + 2 * TIMES_IN_FLIGHT)));
        return 0;
}
