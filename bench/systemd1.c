/*
 * What systemd-logind asks of PID 1, answered at once: units start, and the scope of a session gets its
 * cgroup with the leader in it and ends when that is empty. It does less than systemd does: no runtime
 * directory, no user manager, no properties, and no signals but the two that systemd-logind waits for.
 *
 *   systemd1
 *
 * writes a line when it has its name.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>
#include <unistd.h>

#define PATH "/org/freedesktop/systemd1"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define TREE "/sys/fs/cgroup"
#define MOST_SCOPES 1024
#define MOST_LEADERS 16

/* A scope that has processes. */
struct scope {
        char *name, *folder;
        /* Of inotify(7); 0 where the place is free. */
        int watch;
};

static struct scope scopes[MOST_SCOPES];
static sd_bus *bus;
static int watches;
static uint32_t jobs;

static int check(int result, const char *what) {
        if (result < 0) {
                fprintf(stderr, "systemd1: %s: %s\n", what, strerror(-result));
                exit(1);
        }
        return result;
}

static int check_errno(int result, const char *what) {
        return check(result < 0 ? -errno : result, what);
}

static char *unit_path(const char *name) {
        char *path;
        check(sd_bus_path_encode(PATH "/unit", name, &path), name);
        return path;
}

static struct scope *scope_at(const char *path) {
        for (struct scope *scope = scopes; scope < scopes + MOST_SCOPES; scope++) {
                if (!scope->watch)
                        continue;
                char *own = unit_path(scope->name);
                int is_it = strcmp(own, path) == 0;
                free(own);
                if (is_it)
                        return scope;
        }
        return NULL;
}

/* The number of a process, of a descriptor of it. */
static uint32_t pid_of(int pidfd) {
        char path[64], line[128];
        int pid = -1;
        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
        FILE *file = fopen(path, "re");
        while (file && fgets(line, sizeof line, file) && sscanf(line, "Pid: %d", &pid) != 1)
                ;
        check(file && fclose(file) == 0 && pid > 0 ? 0 : -ESRCH, path);
        return (uint32_t)pid;
}

/* Makes the cgroup of a scope: a-b.slice is in a.slice (systemd.slice(5)). */
static char *make_cgroup(const char *slice, const char *name) {
        char *folder = malloc(sizeof TREE + strlen(slice) * (strlen(slice) + 8) + strlen(name) + 2);
        check(folder ? 0 : -ENOMEM, name);
        char *end = stpcpy(folder, TREE);
        const char *suffix = strstr(slice, ".slice");
        check(suffix ? 0 : -EINVAL, slice);
        for (const char *part = slice; part <= suffix; part++) {
                if (*part != '-' && part != suffix)
                        continue;
                end += sprintf(end, "/%.*s.slice", (int)(part - slice), slice);
                if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                        check(-errno, folder);
        }
        sprintf(end, "/%s", name);
        check_errno(mkdir(folder, 0755), folder);
        return folder;
}

static void start_scope(const char *name, const char *slice, const uint32_t *leaders, size_t count) {
        char path[512];
        struct scope *scope = scopes;
        while (scope < scopes + MOST_SCOPES && scope->watch)
                scope++;
        check(scope < scopes + MOST_SCOPES ? 0 : -ENOSPC, name);
        scope->name = strdup(name);
        scope->folder = make_cgroup(slice, name);
        snprintf(path, sizeof path, "%s/cgroup.procs", scope->folder);
        FILE *file = fopen(path, "we");
        check(file && setvbuf(file, NULL, _IONBF, 0) == 0 ? 0 : -errno, path);
        for (size_t leader = 0; leader < count; leader++)
                check_errno(fprintf(file, "%u", leaders[leader]), path);
        fclose(file);
        snprintf(path, sizeof path, "%s/cgroup.events", scope->folder);
        scope->watch = check_errno(inotify_add_watch(watches, path, IN_MODIFY), path);
}

static void end_scope(struct scope *scope) {
        check_errno(inotify_rm_watch(watches, scope->watch), scope->name);
        check_errno(rmdir(scope->folder), scope->folder);
        char *path = unit_path(scope->name);
        check(sd_bus_emit_signal(bus, PATH, MANAGER, "UnitRemoved", "so", scope->name, path),
              "UnitRemoved");
        free(path);
        free(scope->name);
        free(scope->folder);
        *scope = (struct scope){0};
}

static int is_populated(const struct scope *scope) {
        char path[512], line[64];
        int populated = 1;
        snprintf(path, sizeof path, "%s/cgroup.events", scope->folder);
        FILE *file = fopen(path, "re");
        check(file ? 0 : -errno, path);
        while (fgets(line, sizeof line, file) && sscanf(line, "populated %d", &populated) != 1)
                ;
        fclose(file);
        return populated;
}

static int on_watches(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        _Alignas(struct inotify_event) char buffer[4096];
        (void)source, (void)events, (void)userdata;
        ssize_t size = read(fd, buffer, sizeof buffer);
        if (size < 0 && errno != EAGAIN)
                check(-errno, "inotify");
        for (char *at = buffer; at < buffer + size;) {
                struct inotify_event *event = (struct inotify_event *)at;
                at += sizeof *event + event->len;
                for (struct scope *scope = scopes; scope < scopes + MOST_SCOPES; scope++)
                        if (scope->watch == event->wd && !is_populated(scope))
                                end_scope(scope);
        }
        return 0;
}

/* Answers with a job, which is done. */
static int reply_job(sd_bus_message *call, const char *unit) {
        char job[64];
        snprintf(job, sizeof job, PATH "/job/%u", ++jobs);
        check(sd_bus_reply_method_return(call, "o", job), "a job");
        return sd_bus_emit_signal(bus, PATH, MANAGER, "JobRemoved", "uoss", jobs, job, unit, "done");
}

static int on_start_transient_unit(sd_bus_message *call) {
        const char *name, *property, *contents, *slice = "system.slice";
        uint32_t leaders[MOST_LEADERS];
        size_t count = 0;
        check(sd_bus_message_read(call, "ss", &name, NULL), "StartTransientUnit");
        check(sd_bus_message_enter_container(call, 'a', "(sv)"), "StartTransientUnit");
        while (check(sd_bus_message_enter_container(call, 'r', "sv"), "a property") > 0) {
                check(sd_bus_message_read(call, "s", &property), "a property");
                int are_pidfds = strcmp(property, "PIDFDs") == 0;
                if (strcmp(property, "Slice") == 0) {
                        check(sd_bus_message_read(call, "v", "s", &slice), property);
                } else if (are_pidfds || strcmp(property, "PIDs") == 0) {
                        contents = are_pidfds ? "ah" : "au";
                        check(sd_bus_message_enter_container(call, 'v', contents), property);
                        check(sd_bus_message_enter_container(call, 'a', contents + 1), property);
                        union {
                                int fd;
                                uint32_t pid;
                        } each;
                        while (count < MOST_LEADERS &&
                               check(sd_bus_message_read(call, contents + 1, &each), property) > 0)
                                leaders[count++] = are_pidfds ? pid_of(each.fd) : each.pid;
                        check(sd_bus_message_exit_container(call), property);
                        check(sd_bus_message_exit_container(call), property);
                } else {
                        check(sd_bus_message_skip(call, "v"), property);
                }
                check(sd_bus_message_exit_container(call), "a property");
        }
        start_scope(name, slice, leaders, count);
        return reply_job(call, name);
}

static int on_start_unit(sd_bus_message *call) {
        const char *name;
        check(sd_bus_message_read(call, "ss", &name, NULL), "StartUnit");
        return reply_job(call, name);
}

static int on_get(sd_bus_message *call, sd_bus_error *error) {
        const char *property, *path = sd_bus_message_get_path(call);
        check(sd_bus_message_read(call, "ss", NULL, &property), "Get");
        if (!scope_at(path))
                return sd_bus_error_setf(error, "org.freedesktop.systemd1.NoSuchUnit", "no unit %s", path);
        if (strcmp(property, "ActiveState") != 0)
                return 0;
        return sd_bus_reply_method_return(call, "v", "s", "active");
}

static int on_call(sd_bus_message *call, void *userdata, sd_bus_error *error) {
        (void)userdata;
        if (sd_bus_message_is_method_call(call, MANAGER, "Subscribe"))
                return sd_bus_reply_method_return(call, NULL);
        if (sd_bus_message_is_method_call(call, MANAGER, "StartTransientUnit"))
                return on_start_transient_unit(call);
        if (sd_bus_message_is_method_call(call, MANAGER, "StartUnit"))
                return on_start_unit(call);
        if (sd_bus_message_is_method_call(call, "org.freedesktop.systemd1.Scope", "Abandon"))
                return sd_bus_reply_method_return(call, NULL);
        if (sd_bus_message_is_method_call(call, "org.freedesktop.DBus.Properties", "Get"))
                return on_get(call, error);
        /* Said aloud, so that nothing is left unanswered unseen. */
        fprintf(stderr, "systemd1: %s.%s is not answered\n", sd_bus_message_get_interface(call),
                sd_bus_message_get_member(call));
        return 0;
}

int main(void) {
        sd_event *event;
        watches = check_errno(inotify_init1(IN_CLOEXEC | IN_NONBLOCK), "inotify");
        check(sd_event_default(&event), "sd-event");
        check(sd_event_add_io(event, NULL, watches, EPOLLIN, on_watches, NULL), "inotify");
        check(sd_bus_open_system(&bus), "the system bus");
        check(sd_bus_add_fallback(bus, NULL, PATH, on_call, NULL), PATH);
        check(sd_bus_request_name(bus, "org.freedesktop.systemd1", 0), "the name");
        check(sd_bus_attach_event(bus, event, 0), "sd-event");
        puts("ready");
        fflush(stdout);
        return check(sd_event_loop(event), "sd-event") < 0;
}
