/*
 * Attacks by somebody who has taken one of our daemons over: run inside its sandbox, each in a
 * process of its own. Prints a line for each: NAME, a tab, and the errno's number, 0 where the
 * attack succeeded.
 *
 * inside             the attacks, under the filter that this process has
 * inside --control   the same where nothing is to refuse them, to show that each is one
 * inside FILTER      the same, each after setting the filter of system calls in that file
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <grp.h>
#include "programs/processes.h"

static char path[256];
/* Whether this is the control: outside of every sandbox, with orders that are in order. */
static int control;

static long opens(const char *name, int flags) { return open(name, flags, 0600); }

/* The first process of a name, as the sandbox sees it; 0 if there is none. */
static int pid_of(const char *name)
{
	int first;
	processes_named(name, &first);
	return first;
}

static long init_module_(void) { return syscall(SYS_init_module, "", 0, ""); }
static long kexec_load_(void) { return syscall(SYS_kexec_load, 0, 0, NULL, ~0ul); }
static long bpf_(void) { return syscall(SYS_bpf, 0, NULL, 0); }
static long perf(void) { return syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0); }
static long keys(void) { return syscall(SYS_keyctl, 0, -3, 1); }
static long faults(void) { return syscall(SYS_userfaultfd, 1); }
static long handle(void) { return syscall(SYS_open_by_handle_at, -1, NULL, 0); }
static long swapon_(void) { return syscall(SYS_swapon, "/proc/nothing", 0); }
static long acct_(void) { return syscall(SYS_acct, "/proc/nothing"); }
static long reboot_(void) { return syscall(SYS_reboot, 0, 0, 0, NULL); }
static long setns_(void) { return syscall(SYS_setns, -1, CLONE_NEWNS); }
static long ns_of_init(void) { return opens("/proc/1/ns/mnt", O_RDONLY); }
static long new_mounts(void) { return unshare(CLONE_NEWNS); }
static long new_user(void) { return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0); }
static long clone3_(void) { return syscall(SYS_clone3, NULL, 0); }
static long bind_mount(void) { return mount("/usr", "/tmp", NULL, MS_BIND, NULL); }
static long writable(void) { return mount(NULL, "/usr", NULL, MS_REMOUNT | MS_BIND, NULL); }
static long propagate(void) { return mount(NULL, "/", NULL, MS_SHARED | MS_REC, NULL); }
static long unmount(void) { return umount2("/tmp", 0); }
static long tree(void) { return syscall(428, -1, "", 0); }
static long new_fs(void) { return syscall(430, "tmpfs", 0); }
static long pivot(void) { return syscall(SYS_pivot_root, "/nothing", "/nothing"); }
static long chroot_(void) { return chroot("/tmp"); }
static long trace(void) { return syscall(SYS_ptrace, 16, 1, 0, 0); }
static long peek(void) { return syscall(SYS_process_vm_readv, 1, NULL, 0, NULL, 0, 0); }
static long uring(void) { return syscall(425, 0, NULL); }
static long persona(void) { return syscall(SYS_personality, 0xffffffff); }
static long raw_io(void) { return syscall(SYS_iopl, 3); }
static long log_(void) { return syscall(SYS_syslog, 10, NULL, 0); }
static long name_(void) { return syscall(SYS_sethostname, NULL, -1); }
static long clock_(void) { return syscall(SYS_clock_settime, CLOCK_REALTIME, NULL); }
static long type_(void) { return ioctl(open("/dev/null", O_RDWR), TIOCSTI, "x"); }
static long inet(void) { return socket(AF_INET, SOCK_STREAM, 0); }
static long packet(void) { return socket(AF_PACKET, SOCK_RAW, 0); }

static long i386(void)
{
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
	if (result >= 0)
		return 0;
	errno = -result;
	return -1;
}

static long x32(void) { return syscall(0x40000000 | SYS_getpid); }

static long device(void) { return mknod("/tmp/disk", S_IFBLK | 0600, makedev(7, 0)); }
static long disk(void) { return opens("/dev/attack-disk", O_RDONLY); }
static long user(void) { return setuid(1000); }
static long groups(void) { return setgroups(0, NULL); }
static long nice_(void) { return setpriority(PRIO_PROCESS, 0, -19); }
static long caps(void) { return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 16, 0, 0); }
static long privs(void) { return prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0); }

static long home(void) { return opens("/home/liveuser", O_DIRECTORY); }
static long root(void) { return opens("/root", O_DIRECTORY); }
static long usr(void) { return opens("/usr/bin/attack", O_CREAT | O_WRONLY); }
static long etc(void) { return opens("/etc/attack", O_CREAT | O_WRONLY); }
static long shadow(void) { return opens("/etc/shadow", O_WRONLY); }
static long hooks(void) { return mkdir("/etc/lainos/sleep.d", 0755); }
static long init_script(void) { return opens("/etc/init.d/lainos-notifyd", O_WRONLY); }
static long forward(void) { return opens("/proc/sys/net/ipv4/ip_forward", O_WRONLY); }
static long out(void) { return opens("/proc/1/root/home", O_DIRECTORY); }
static long memory(void) { return opens("/proc/1/mem", O_RDONLY); }

static long out_by_user(void)
{
	int pid = pid_of("sway");
	snprintf(path, sizeof path, "/proc/%d/root/home", pid);
	return opens(path, O_DIRECTORY);
}

/* Gives what works outside an order, by the bridge's own pipes: answered 126 and not done. */
static long order(int ask_fd, int answer_fd, const char *line)
{
	char answer[600] = "";
	int bridge = pid_of("lainos-dbus-bri");
	snprintf(path, sizeof path, "/proc/%d/fd/%d", bridge, ask_fd);
	int ask = open(path, O_WRONLY);
	snprintf(path, sizeof path, "/proc/%d/fd/%d", bridge, answer_fd);
	int from = open(path, O_RDONLY);
	if (ask < 0 || from < 0)
		return -1;
	if (control)
		line = ask_fd == 6 ? "1 allow-logins\n" : "1 hook pre suspend /etc/lainos/sleep.d/control\n";
	if (write(ask, line, strlen(line)) < 0 || read(from, answer, sizeof answer - 1) < 0)
		return -1;
	if (strncmp(answer, "1 126 ", 6) != 0)
		return 0;
	errno = EACCES;
	return -1;
}

static long other_hook(void)
{
	return order(8, 9, "1 hook pre suspend /etc/lainos/sleep.d/../../../usr/local/bin/attack\n");
}
static long other_program(void) { return order(8, 9, "1 shut-down --help;attack\n"); }
static long other_mount(void) { return order(6, 7, "1 make-runtime-dir ../../usr 0 1048576 100\n"); }
static long mount_options(void) { return order(6, 7, "1 make-runtime-dir 0 0 1048576 1,suid\n"); }
static long rule(void) { return order(6, 7, "1 attach seat1\",RUN+=\"x device\n"); }

/* A proc of one's own would have keys of the kernel that can be written. */
static long new_proc(void) { return mount("proc", "/run/systemd", "proc", MS_NOSUID | MS_NODEV, NULL); }
static long release_agent(void) { return mount("cgroup", "/run/systemd", "cgroup", MS_NOSUID | MS_NODEV, "none,name=attack"); }
static long core_pattern(void) { return opens("/proc/sys/kernel/core_pattern", O_WRONLY); }
static long udev_rule(void) { return opens("/etc/udev/rules.d/99-attack.rules", O_CREAT | O_WRONLY); }
static long run_rule(void) { return mkdir("/run/udev-attack", 0755); }

/* What the filter's arguments are for. No descriptor is a terminal: an ioctl that passes is ENOTTY. */
static long asks(unsigned long request)
{
	long result = ioctl(open("/dev/null", O_RDWR), request, 0);
	return result < 0 && errno != EPERM ? 0 : result;
}
static long key_entry(void) { return asks(0x4b47); }
static long key_text(void) { return asks(0x4b49); }
static long key_accents(void) { return asks(0x4b4b); }
static long key_accents_uc(void) { return asks(0x4bfb); }
static long key_code(void) { return asks(0x4b4d); }
static long console_out(void) { return asks(0x541d); }
static long console_paste(void) { return asks(0x541c); }
static long console_font(void) { return asks(0x4b72); }
static long new_keyboard(void) { return asks(0x5501); }
static long other_limit(void)
{
	struct rlimit limit;
	return syscall(SYS_prlimit64, pid_of("greetd"), RLIMIT_NOFILE, NULL, &limit);
}
static long firewall(void) { return socket(AF_NETLINK, SOCK_RAW, 12); }
static long routes(void) { return socket(AF_NETLINK, SOCK_RAW, 0); }
static long list_mounts(void)
{
	long result = syscall(458, NULL, NULL, 0, 0);
	return result < 0 && errno != EPERM ? 0 : result;
}
static long file_handle(void)
{
	long result = syscall(SYS_name_to_handle_at, AT_FDCWD, "/usr", NULL, NULL, 0);
	return result < 0 && errno != EPERM ? 0 : result;
}
static long hang_up(void) { return syscall(SYS_vhangup); }
static long set_id(void)
{
	if (open("/tmp/set-id", O_CREAT | O_WRONLY, 0600) < 0)
		return -1;
	return chmod("/tmp/set-id", 04755);
}
static long set_id_new(void) { return open("/tmp/set-id-new", O_CREAT | O_WRONLY, 04755); }
static long real_time(void)
{
	struct sched_param parameters = {1};
	return sched_setscheduler(0, SCHED_FIFO, &parameters);
}
static long unknown_call(void) { return syscall(SYS_setpriority, PRIO_PROCESS, 0, 1); }

static const struct {
	const char *name;
	long (*attack)(void);
} attacks[] = {
	{"ioctl-kdskbent", key_entry}, {"ioctl-kdskbsent", key_text},
	{"ioctl-kdskbdiacr", key_accents}, {"ioctl-kdskbdiacruc", key_accents_uc},
	{"ioctl-kdsetkeycode", key_code}, {"ioctl-tioccons", console_out},
	{"ioctl-tioclinux", console_paste}, {"ioctl-kdfontop", console_font},
	{"ioctl-ui_dev_create", new_keyboard}, {"netlink-firewall", firewall},
	{"netlink-routes", routes}, {"listmount", list_mounts}, {"name_to_handle_at", file_handle},
	{"vhangup", hang_up}, {"chmod-setuid", set_id}, {"create-setuid", set_id_new},
	{"sched_fifo", real_time}, {"prlimit-other", other_limit}, {"unlisted-call", unknown_call},
	{"init_module", init_module_}, {"kexec_load", kexec_load_}, {"bpf", bpf_},
	{"perf_event_open", perf}, {"keyctl", keys}, {"userfaultfd", faults},
	{"open_by_handle_at", handle}, {"swapon", swapon_}, {"acct", acct_}, {"reboot", reboot_},
	{"setns", setns_}, {"ns-of-init", ns_of_init}, {"unshare", new_mounts},
	{"clone-newuser", new_user}, {"clone3", clone3_}, {"bind-mount", bind_mount},
	{"remount-usr", writable}, {"propagation", propagate}, {"umount", unmount},
	{"open_tree", tree}, {"fsopen", new_fs}, {"pivot_root", pivot}, {"chroot", chroot_},
	{"ptrace", trace}, {"process_vm_readv", peek}, {"io_uring", uring},
	{"personality", persona}, {"iopl", raw_io}, {"syslog", log_}, {"sethostname", name_},
	{"clock_settime", clock_}, {"tiocsti", type_}, {"inet-socket", inet},
	{"packet-socket", packet}, {"i386-call", i386}, {"x32-call", x32}, {"mknod", device},
	{"open-disk", disk}, {"setuid", user}, {"setgroups", groups}, {"setpriority", nice_},
	{"ambient-capability", caps}, {"clear-no_new_privs", privs}, {"home", home},
	{"root-home", root}, {"write-usr", usr}, {"write-etc", etc}, {"write-shadow", shadow},
	{"plant-hook", hooks}, {"write-init-script", init_script}, {"write-sysctl", forward},
	{"proc-1-root", out}, {"proc-1-mem", memory}, {"proc-user-root", out_by_user},
	{"mount-proc", new_proc}, {"mount-cgroup-v1", release_agent}, {"core_pattern", core_pattern},
	{"write-udev-rule", udev_rule}, {"write-run", run_rule},
	{"outside-other-hook", other_hook}, {"outside-other-program", other_program},
	{"outside-other-mount", other_mount}, {"outside-mount-options", mount_options},
	{"outside-udev-rule", rule},
};

static int set_filter(const char *file)
{
	static struct sock_filter program[4096];
	int fd = open(file, O_RDONLY);
	ssize_t size = fd < 0 ? -1 : read(fd, program, sizeof program);
	if (size <= 0)
		return -1;
	struct sock_fprog header = {size / sizeof *program, program};
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &header);
}

int main(int argc, char **argv)
{
	control = argc > 1 && strcmp(argv[1], "--control") == 0;
	for (size_t i = 0; i < sizeof attacks / sizeof *attacks; i++) {
		fflush(stdout);
		pid_t child = fork();
		if (child == 0) {
			/* Only here: a daemon that starts nothing may not fork. */
			if (argc > 1 && !control && set_filter(argv[1]) < 0) {
				perror(argv[1]);
				_exit(0);
			}
			errno = 0;
			long result = attacks[i].attack();
			_exit(result >= 0 ? 0 : errno);
		}
		int status;
		waitpid(child, &status, 0);
		/* One that a signal ended has not succeeded either: 255. */
		printf("%s\t%d\n", attacks[i].name, WIFEXITED(status) ? WEXITSTATUS(status) : 255);
	}
	return 0;
}
