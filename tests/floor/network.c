/*
 * The floor under bridge mode: a process in a network namespace of its own, on a bridge that is there.
 *
 *     network none|netlink|ip BRIDGE
 *
 * `none` brings up the loopback, `netlink` makes the pair of links and sets up both ends with the least number of
 * netlink messages, `ip` does the same with as many `ip` programs as a script would start. Then the process ends, and
 * the namespace with its links. The namespace is left to others' addresses: nothing but the process is in it.
 *
 * An error is reported by the number of the line that failed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* linux/if_link.h, which the headers of some C libraries get in the way of. */
enum { NAME = 3, MTU = 4, MASTER = 10, LINKINFO = 18, NAMESPACE_FD = 28, KIND = 1, DATA = 2 };
enum { NO_DETECTION = 0x02, STACK = 64 * 1024 };

#define ADDRESS4 "172.20.255.250"
#define ADDRESS6 "fd70:6970:6b69:6e00::fffa"
#define GATEWAY4 "172.20.0.1"
#define GATEWAY6 "fd70:6970:6b69:6e00::1"

static void fail(int line)
{
    fprintf(stderr, "network: line %d\n", line);
    perror("network");
    exit(1);
}

#define CHECK(call)                                                                                                    \
    do {                                                                                                               \
        if ((call) < 0)                                                                                                \
            fail(__LINE__);                                                                                            \
    } while (0)

/* One send. */
static union {
    struct nlmsghdr header;
    char bytes[2048];
} batch;
static size_t end;
static struct nlmsghdr *message;

static void *reserve(size_t len)
{
    void *place = batch.bytes + end;
    end += NLMSG_ALIGN(len);
    if (end > sizeof batch.bytes)
        fail(__LINE__);
    return place;
}

static void begin(int type, int flags, const void *fixed, size_t len)
{
    message = reserve(NLMSG_HDRLEN);
    message->nlmsg_type = type;
    message->nlmsg_flags = NLM_F_REQUEST | flags;
    memcpy(reserve(len), fixed, len);
}

static struct rtattr *attribute(int type, const void *value, size_t len)
{
    struct rtattr *attribute = reserve(RTA_LENGTH(len));
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(len);
    if (len > 0)
        memcpy(RTA_DATA(attribute), value, len);
    return attribute;
}

static void close_nest(struct rtattr *nest)
{
    nest->rta_len = batch.bytes + end - (char *)nest;
}

static void finish(void)
{
    message->nlmsg_len = batch.bytes + end - (char *)message;
}

/* Sends all, and waits for the answer to the last. */
static void commit(void)
{
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    CHECK(fd);
    message->nlmsg_flags |= NLM_F_ACK;
    message->nlmsg_seq = 1;
    CHECK(send(fd, batch.bytes, end, 0));
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[1024];
    } answer;
    for (;;) {
        CHECK(recv(fd, &answer, sizeof answer, 0));
        if (answer.header.nlmsg_type == NLMSG_ERROR && answer.error.error != 0)
            fail(__LINE__);
        if (answer.header.nlmsg_seq == 1)
            break;
    }
    close(fd);
    end = 0;
    memset(&batch, 0, sizeof batch);
}

static void raise_link(int index)
{
    struct ifinfomsg link = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    begin(RTM_NEWLINK, 0, &link, sizeof link);
    finish();
}

static void add_address(int family, int index, const char *text, int bits)
{
    unsigned char address[16];
    size_t len = family == AF_INET ? 4 : 16;
    if (inet_pton(family, text, address) != 1)
        fail(__LINE__);
    struct ifaddrmsg request = {
        .ifa_family = family, .ifa_prefixlen = bits, .ifa_flags = family == AF_INET ? 0 : NO_DETECTION, .ifa_index = index};
    begin(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &request, sizeof request);
    attribute(IFA_LOCAL, address, len);
    attribute(IFA_ADDRESS, address, len);
    finish();
}

static void add_route(int family, const char *text)
{
    unsigned char address[16];
    if (inet_pton(family, text, address) != 1)
        fail(__LINE__);
    struct rtmsg request = {
        .rtm_family = family, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT, .rtm_type = RTN_UNICAST};
    begin(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &request, sizeof request);
    attribute(RTA_GATEWAY, address, family == AF_INET ? 4 : 16);
    finish();
}

static void make_pair(const char *bridge, const char *near, int namespace)
{
    uint32_t master = if_nametoindex(bridge), mtu = 1500;
    struct ifinfomsg up = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP}, plain = {0};
    begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &up, sizeof up);
    attribute(NAME, near, strlen(near) + 1);
    attribute(MTU, &mtu, sizeof mtu);
    attribute(MASTER, &master, sizeof master);
    struct rtattr *info = attribute(LINKINFO, NULL, 0);
    attribute(KIND, "veth", 4);
    struct rtattr *data = attribute(DATA, NULL, 0), *peer = attribute(VETH_INFO_PEER, NULL, 0);
    memcpy(reserve(sizeof plain), &plain, sizeof plain);
    attribute(NAME, "eth0", 5);
    attribute(MTU, &mtu, sizeof mtu);
    attribute(NAMESPACE_FD, &namespace, sizeof namespace);
    close_nest(peer);
    close_nest(data);
    close_nest(info);
    finish();
    commit();
}

static void set_up_inside(void)
{
    raise_link(1);
    int index = if_nametoindex("eth0");
    if (index == 0)
        fail(__LINE__);
    add_address(AF_INET, index, ADDRESS4, 16);
    add_address(AF_INET6, index, ADDRESS6, 64);
    raise_link(index);
    add_route(AF_INET, GATEWAY4);
    add_route(AF_INET6, GATEWAY6);
    commit();
}

/* Runs `ip` with these words, in the namespace unless it is -1. */
static void ip(int namespace, const char *line)
{
    char copy[256], *words[32] = {"ip"};
    snprintf(copy, sizeof copy, "%s", line);
    int count = 1;
    for (char *word = strtok(copy, " "); word != NULL && count < 31; word = strtok(NULL, " "))
        words[count++] = word;
    pid_t pid = vfork();
    CHECK(pid);
    if (pid == 0) {
        if (namespace >= 0 && setns(namespace, CLONE_NEWNET) != 0)
            _exit(1);
        execvp("ip", words);
        _exit(1);
    }
    int status;
    CHECK(waitpid(pid, &status, 0));
    if (status != 0)
        fail(__LINE__);
}

static void by_programs(const char *bridge, const char *near, pid_t child, int namespace)
{
    char line[256];
    snprintf(line, sizeof line, "link add %s mtu 1500 master %s type veth peer name eth0 mtu 1500 netns %d", near, bridge,
             child);
    ip(-1, line);
    snprintf(line, sizeof line, "link set %s up", near);
    ip(-1, line);
    ip(namespace, "link set lo up");
    ip(namespace, "address add " ADDRESS4 "/16 dev eth0");
    ip(namespace, "address add " ADDRESS6 "/64 dev eth0 nodad");
    ip(namespace, "link set eth0 up");
    ip(namespace, "route add default via " GATEWAY4);
    ip(namespace, "route add default via " GATEWAY6);
}

static int ends[2];

static int wait_and_end(void *unused)
{
    (void)unused;
    char byte;
    close(ends[1]);
    _exit(read(ends[0], &byte, 1) == 1 ? 0 : 1);
}

int main(int count, char **words)
{
    static char stack[STACK];
    if (count != 3)
        fail(__LINE__);
    CHECK(pipe2(ends, O_CLOEXEC));
    pid_t child = clone(wait_and_end, stack + STACK, CLONE_NEWNET | SIGCHLD, NULL);
    CHECK(child);
    char path[64], near[16];
    snprintf(path, sizeof path, "/proc/%d/ns/net", child);
    snprintf(near, sizeof near, "fl%d", child);
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(namespace);
    if (strcmp(words[1], "ip") == 0) {
        by_programs(words[2], near, child, namespace);
    } else {
        int pair = strcmp(words[1], "netlink") == 0;
        if (pair)
            make_pair(words[2], near, namespace);
        CHECK(setns(namespace, CLONE_NEWNET));
        if (pair) {
            set_up_inside();
        } else {
            raise_link(1);
            commit();
        }
    }
    CHECK(write(ends[1], "", 1));
    int status;
    CHECK(waitpid(child, &status, 0));
    return status == 0 ? 0 : 1;
}
