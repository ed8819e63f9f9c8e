/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Whose a TCP connection is, noted where `current` is the owner: when it connects or listens.
 */
#ifndef LINNIX_OWNER_BPF_H
#define LINNIX_OWNER_BPF_H

#include "net.bpf.h"

#define MAX_SOCKETS 16384
#define MAX_LISTENERS 2048

struct owner {
	__u64 start_ns;
	__u32 pid;
	__u32 pad;
};

struct listener {
	__u64 net;
	__u64 port;
};

/* By address of the socket. An address that is used anew is noted anew before anything is counted for it: every socket
 * begins by connecting, listening or being accepted. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_SOCKETS);
	__type(key, __u64);
	__type(value, struct owner);
} owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, MAX_LISTENERS);
	__type(key, struct listener);
	__type(value, struct owner);
} listeners SEC(".maps");

static __always_inline struct owner myself(void)
{
	struct owner me = {};

	me.pid = bpf_get_current_pid_tgid() >> 32;
	me.start_ns = peek_start_ns((void *)bpf_get_current_task());
	return me;
}

static __always_inline struct listener listener_of(struct sock *sk)
{
	struct listener key = {};
	possible_net_t net = peek(sk, __sk_common.skc_net);

	key.net = (__u64)net.net;
	key.port = peek(sk, __sk_common.skc_num);
	return key;
}

#endif
