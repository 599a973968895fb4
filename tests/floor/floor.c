/*
 * The floor under `pipkin run --rm DIR COMMAND`: the kernel calls that lead to the same container, and nothing else.
 *
 *     floor STATE CGROUP ROOTFS COMMAND [ARGUMENT ...]
 *
 * STATE is an existing directory for the container's writable layer, CGROUP an existing cgroup v2 directory in which
 * the container's group is made, or `-` for none. What is made there is removed again.
 *
 * It is compiled with FILTER defined as the name of a file that holds the numbers of a seccomp program, 64 bits for
 * each instruction, so that the kernel has the same filter to check and translate.
 *
 * It takes the cheapest call for each thing: mount(2) instead of fsopen(2) and its three companions, paths instead
 * of checked descriptors. It trusts the image, waits for nobody, reports an error by the number of the line that
 * failed, and leaves its things behind when killed. It measures; it is not a way to run anything.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

/* C libraries differ in which of these they declare. Numbers: linux/sched.h, linux/mount.h, linux/keyctl.h. */
#define INTO_CGROUP 0x200000000ULL
#define TREE_CLONE 1u
#define TREE_CLOEXEC ((unsigned)O_CLOEXEC)
#define TREE_RECURSIVE 0x8000u
#define MOVE_FROM_EMPTY_PATH 4u
#define JOIN_SESSION_KEYRING 1L
#define MOUNT_ATTR_ALL_INERT 0xful
#define CAPABILITY_VERSION_3 0x20080522u
#define SET_MODE_FILTER 1L
#define FILTER_SPEC_ALLOW 4L

/* clone_args of clone3(2), its third version. */
struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

/* mount_attr of mount_setattr(2). */
struct mount_attributes {
    uint64_t set, clear, propagation, userns_fd;
};

static void fail(int line)
{
    dprintf(2, "floor: line %d: %s\n", line, strerror(errno));
    _exit(125);
}

/* Every result is looked at: a floor that skipped a step would be too low. */
#define MUST(call) do { if ((call) < 0) fail(__LINE__); } while (0)

/* CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE SYS_CHROOT SETFCAP */
static const uint64_t KEPT = 1u << 0 | 1u << 1 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 7 | 1u << 8 |
                             1u << 10 | 1u << 18 | 1u << 31;

static const uint64_t INSTRUCTIONS[] = {
#include FILTER
};

static const char *const MASKED_FILES[] = {
    "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
    "/proc/timer_list", "/proc/timer_stats",
};
static const char *const MASKED_DIRECTORIES[] = {
    "/proc/acpi", "/proc/asound", "/proc/scsi", "/sys/devices/virtual/powercap", "/sys/firmware", "/sys/fs/selinux",
};
static const char *const READ_ONLY[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};
#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* sock_fprog of seccomp(2). */
struct program {
    unsigned short length;
    const void *instructions;
};

static int tree(const char *path, unsigned flags)
{
    return (int)syscall(SYS_open_tree, AT_FDCWD, path, TREE_CLONE | TREE_CLOEXEC | flags);
}

static int tree_again(int mount)
{
    return (int)syscall(SYS_open_tree, mount, "", TREE_CLONE | TREE_CLOEXEC | AT_EMPTY_PATH);
}

/* Lays a detached mount over a path that was found to exist. */
static void put(int mount, const char *path)
{
    MUST(mount);
    MUST(syscall(SYS_move_mount, mount, "", AT_FDCWD, path, MOVE_FROM_EMPTY_PATH));
    MUST(close(mount));
}

static int missing(const char *path)
{
    return access(path, F_OK) != 0;
}

static void build_root(const char *rootfs, const char *layer)
{
    char options[4096];
    int length = snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s/upper,workdir=%s/work,volatile", rootfs,
                          layer, layer);
    if (length >= (int)sizeof options)
        fail(__LINE__);
    MUST(mount("", "/", "", MS_REC | MS_SLAVE, NULL));
    MUST(mount("overlay", layer, "overlay", 0, options));
    MUST(chdir(layer));
    MUST(syscall(SYS_pivot_root, ".", "."));
    MUST(umount2(".", MNT_DETACH));
    MUST(chdir("/"));
}

static void fill_dev(void)
{
    static const struct {
        const char *path;
        unsigned major, minor;
    } nodes[] = {
        {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
        {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
    };
    static const char *const links[][2] = {
        {"/proc/self/fd", "/dev/fd"},       {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"},
        {"/proc/self/fd/2", "/dev/stderr"}, {"pts/ptmx", "/dev/ptmx"},
    };
    const unsigned long inert = MS_NOSUID | MS_NOEXEC;
    umask(0);
    MUST(mount("tmpfs", "/dev", "tmpfs", inert | MS_STRICTATIME, "mode=755,size=64m"));
    for (size_t i = 0; i < COUNT(nodes); i++)
        MUST(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
    for (size_t i = 0; i < COUNT(links); i++)
        MUST(symlink(links[i][0], links[i][1]));
    MUST(mkdir("/dev/pts", 0755));
    MUST(mount("devpts", "/dev/pts", "devpts", inert, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
    MUST(mkdir("/dev/shm", 0755));
    MUST(mount("tmpfs", "/dev/shm", "tmpfs", inert | MS_NODEV, "mode=1777,size=64m"));
    MUST(mkdir("/dev/mqueue", 0755));
    MUST(mount("mqueue", "/dev/mqueue", "mqueue", inert | MS_NODEV, NULL));
    umask(022);
}

static void hide(int null)
{
    struct mount_attributes inert = {.set = MOUNT_ATTR_ALL_INERT};
    for (size_t i = 0; i < COUNT(READ_ONLY); i++) {
        if (missing(READ_ONLY[i]))
            continue;
        int copy = tree(READ_ONLY[i], TREE_RECURSIVE);
        MUST(syscall(SYS_mount_setattr, copy, "", AT_EMPTY_PATH | TREE_RECURSIVE, &inert, sizeof inert));
        put(copy, READ_ONLY[i]);
    }
    for (size_t i = 0; i < COUNT(MASKED_FILES); i++)
        if (!missing(MASKED_FILES[i]))
            put(tree_again(null), MASKED_FILES[i]);
    int context = (int)syscall(SYS_fsopen, "tmpfs", 1);
    MUST(context);
    MUST(syscall(SYS_fsconfig, context, 6, NULL, NULL, 0));
    int empty = (int)syscall(SYS_fsmount, context, 1, MOUNT_ATTR_ALL_INERT);
    MUST(empty);
    for (size_t i = 0; i < COUNT(MASKED_DIRECTORIES); i++)
        if (!missing(MASKED_DIRECTORIES[i]))
            put(tree_again(empty), MASKED_DIRECTORIES[i]);
}

static void raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    MUST(any);
    MUST(ioctl(any, SIOCSIFFLAGS, &request));
    MUST(close(any));
}

static void drop_privileges(void)
{
    struct {
        uint32_t version;
        int pid;
    } header = {CAPABILITY_VERSION_3, 0};
    uint32_t low = (uint32_t)KEPT;
    struct {
        uint32_t effective, permitted, inheritable;
    } sets[2] = {{low, low, 0}, {0, 0, 0}};
    gid_t group = 0;
    for (int capability = 0; capability < 64; capability++) {
        if (KEPT >> capability & 1)
            continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0) {
            if (errno == EINVAL)
                break;
            fail(__LINE__);
        }
    }
    MUST(syscall(SYS_setgroups, 1, &group));
    MUST(syscall(SYS_setresgid, 0, 0, 0));
    MUST(syscall(SYS_setresuid, 0, 0, 0));
    MUST(syscall(SYS_capset, &header, sets));
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    struct program filter = {COUNT(INSTRUCTIONS), INSTRUCTIONS};
    MUST(syscall(SYS_seccomp, SET_MODE_FILTER, FILTER_SPEC_ALLOW, &filter));
}

static void become_container(const char *layer, int has_cgroup, char **arguments)
{
    const unsigned long inert = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    MUST(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0));
    if (has_cgroup)
        MUST(unshare(CLONE_NEWCGROUP));
    int null = tree("/dev/null", 0);
    MUST(null);
    build_root(arguments[0], layer);
    MUST(mount("proc", "/proc", "proc", inert, NULL));
    fill_dev();
    MUST(mount("sysfs", "/sys", "sysfs", inert | MS_RDONLY, NULL));
    if (has_cgroup)
        MUST(mount("cgroup2", "/sys/fs/cgroup", "cgroup2", inert | MS_RDONLY, NULL));
    hide(null);
    raise_loopback();
    MUST(syscall(SYS_keyctl, JOIN_SESSION_KEYRING, NULL));
    MUST(setsid());
    drop_privileges();
    char *environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", NULL};
    MUST(execve(arguments[1], arguments + 1, environment));
}

/* What overlayfs makes in a work directory of a volatile mount, from the inside out. */
static void remove_layer(const char *layer)
{
    static const char *const names[] = {
        "/work/work/incompat/volatile", "/work/work/incompat", "/work/work", "/work", "/upper", "",
    };
    char path[4096];
    snprintf(path, sizeof path, "%s/work/work/incompat/volatile/dirty", layer);
    MUST(unlink(path));
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "%s%s", layer, names[i]);
        MUST(rmdir(path));
    }
}

int main(int count, char **arguments)
{
    char layer[3500], path[4096], group[4096];
    struct clone_arguments clone = {.exit_signal = SIGCHLD};
    if (count < 5) {
        dprintf(2, "usage: floor STATE CGROUP ROOTFS COMMAND [ARGUMENT ...]\n");
        return 125;
    }
    int has_cgroup = strcmp(arguments[2], "-") != 0;
    snprintf(layer, sizeof layer, "%s/floor-%d", arguments[1], getpid());
    MUST(mkdir(layer, 0700));
    snprintf(path, sizeof path, "%s/upper", layer);
    MUST(mkdir(path, 0755));
    snprintf(path, sizeof path, "%s/work", layer);
    MUST(mkdir(path, 0755));
    clone.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET;
    if (has_cgroup) {
        snprintf(group, sizeof group, "%s/floor-%d", arguments[2], getpid());
        MUST(mkdir(group, 0755));
        int directory = open(group, O_PATH | O_DIRECTORY | O_CLOEXEC);
        MUST(directory);
        clone.flags |= INTO_CGROUP;
        clone.cgroup = (uint64_t)directory;
    }
    long child = syscall(SYS_clone3, &clone, sizeof clone);
    MUST(child);
    if (child == 0)
        become_container(layer, has_cgroup, arguments + 3);
    int status;
    MUST(waitpid((pid_t)child, &status, 0));
    if (has_cgroup)
        MUST(rmdir(group));
    remove_layer(layer);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
