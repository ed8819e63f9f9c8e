/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Sockets, as far as our programs look at them, and what a socket is across kernels.
 */
#ifndef LINNIX_NET_BPF_H
#define LINNIX_NET_BPF_H

#include "linnix_core.bpf.h"
#include "read.bpf.h"

/* include/net/tcp_states.h */
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_TIME_WAIT 6
#define TCP_CLOSE 7
#define TCP_LISTEN 10
#define TCP_NEW_SYN_RECV 12
#define IPPROTO_TCP 6

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct net;

typedef struct {
	struct net *net; /* with CONFIG_NET_NS */
} possible_net_t;

struct sock_common {
	unsigned short skc_family;
	unsigned char skc_state;
	unsigned short skc_num; /* the local port */
	possible_net_t skc_net;
};

/* With CONFIG_SOCK_CGROUP_DATA. */
struct sock_cgroup_data {
	struct cgroup *cgroup;
};

/* Before 5.15, 8520e224f547 "bpf, cgroups: Fix cgroup v2 fallback on v1/v2 mixed mode": a pointer whose two lowest bits
 * are flags; with the first set it is none, and the cgroup is the root. */
struct sock_cgroup_data___before_5_15 {
	__u64 val;
};

struct sock {
	struct sock_common __sk_common;
	unsigned short sk_protocol;
	int sk_err;
	struct sock_cgroup_data sk_cgrp_data;
};

struct sock___before_5_15 {
	struct sock_cgroup_data___before_5_15 sk_cgrp_data;
};

/* Since 6.17, "tcp: trace retransmit failures in tcp_retransmit_skb": the tracepoint's third argument. */
struct trace_event_raw_tcp_retransmit_skb {
	int err;
};

#pragma clang attribute pop

/* False for the small stand-ins of a connection that is being made or has been closed: they are shorter than a sock. */
static __always_inline bool is_full_socket(struct sock *sk)
{
	unsigned char state = peek(sk, __sk_common.skc_state);

	return sk && state != TCP_TIME_WAIT && state != TCP_NEW_SYN_RECV;
}

/* cgroup2 id of the process that made the socket; 0 if it is not known. */
static __always_inline __u64 socket_cgroup_id(struct sock *sk)
{
	struct cgroup *group = NULL;
	struct kernfs_node *node;

	if (field_exists(struct sock_cgroup_data, cgroup)) {
		group = peek(sk, sk_cgrp_data.cgroup);
	} else if (field_exists(struct sock_cgroup_data___before_5_15, val)) {
		__u64 val = peek((struct sock___before_5_15 *)stay_here(sk), sk_cgrp_data.val);

		group = val & 1 ? NULL : (void *)(val & ~3ULL);
	}
	node = peek(group, kn);
	return peek(node, id);
}

#endif
