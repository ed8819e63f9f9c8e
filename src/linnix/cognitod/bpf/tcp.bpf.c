// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * TCP trouble by process: retransmits, resets, connections that failed.
 *
 * Nearly all of it happens in softirq, where `current` is whoever was interrupted. So the owner of a socket is noted
 * where `current` is the owner: when it connects or listens, and when it takes received data (tcp_rcv_space_adjust() is
 * called by tcp_recvmsg()). A connection that was just accepted is its listener's until then. What was made before this
 * program was attached and never reads has no owner, but still a cgroup: the socket itself holds it.
 */
#include "linnix_core.bpf.h"
#include "owner.bpf.h"
#include "sights.h"

#define MAX_OWNERS 4096

#define ECONNREFUSED 111
#define ETIMEDOUT 110
#define EHOSTUNREACH 113
#define ENETUNREACH 101

/* User space takes out what it reads. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_OWNERS);
	__type(key, struct linnix_tcp_key);
	__type(value, struct linnix_tcp_counts);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct linnix_tcp_books);
} books SEC(".maps");

/* One value a CPU: user space sets max_entries to the number of possible CPUs, and rests when there are too many. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct linnix_tcp_reads);
} reads SEC(".maps");

static __always_inline void count(struct sock *sk, __u32 kind)
{
	struct linnix_tcp_key key = {};
	struct linnix_tcp_counts fresh = {};
	struct linnix_tcp_counts *mine;
	struct linnix_tcp_books *book;
	__u64 address = (__u64)sk;
	struct owner *owner;
	__u32 zero = 0;

	book = bpf_map_lookup_elem(&books, &zero);
	if (!book)
		return;
	add_up(&book->totals[kind], 1);
	if (is_full_socket(sk)) {
		key.cgroup_id = socket_cgroup_id(sk);
		owner = bpf_map_lookup_elem(&owners, &address);
		if (owner) {
			key.pid = owner->pid;
			key.start_ns = owner->start_ns;
		}
	}
	mine = bpf_map_lookup_elem(&counts, &key);
	if (!mine) {
		bpf_map_update_elem(&counts, &key, &fresh, BPF_NOEXIST);
		mine = bpf_map_lookup_elem(&counts, &key);
	}
	if (mine)
		add_up(&mine->counts[kind], 1);
	else
		add_up(&book->lost, 1);
}

static __always_inline void inherit(struct sock *sk)
{
	struct listener key = listener_of(sk);
	struct owner *owner = bpf_map_lookup_elem(&listeners, &key);
	__u64 address = (__u64)sk;
	struct owner copy;

	if (owner) {
		copy = *owner;
		bpf_map_update_elem(&owners, &address, &copy, 0);
	} else {
		bpf_map_delete_elem(&owners, &address);
	}
}

static __always_inline void count_failure(struct sock *sk)
{
	int error = peek(sk, sk_err);

	if (!error) /* its owner gave up, or closed it */
		return;
	if (error == ECONNREFUSED)
		count(sk, LINNIX_TCP_REFUSED);
	else if (error == ETIMEDOUT)
		count(sk, LINNIX_TCP_TIMED_OUT);
	else if (error == EHOSTUNREACH || error == ENETUNREACH)
		count(sk, LINNIX_TCP_UNREACHABLE);
	else
		count(sk, LINNIX_TCP_FAILED);
}

SEC("raw_tp/inet_sock_set_state")
int handle_state(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	int before = ctx[1], after = ctx[2];
	__u64 address = (__u64)sk;
	struct listener key;
	struct owner me;

	if (peek(sk, sk_protocol) != IPPROTO_TCP)
		return 0;
	if (before == TCP_SYN_SENT && after == TCP_CLOSE) {
		count_failure(sk);
	} else if (after == TCP_SYN_RECV && before != TCP_SYN_SENT) {
		inherit(sk);
	} else if (after == TCP_SYN_SENT || after == TCP_LISTEN) {
		me = myself();
		bpf_map_update_elem(&owners, &address, &me, 0);
		if (after == TCP_LISTEN) {
			key = listener_of(sk);
			bpf_map_update_elem(&listeners, &key, &me, 0);
		} else {
			count(sk, LINNIX_TCP_CONNECT);
		}
	}
	return 0;
}

/* Every call that returns received data comes by here: one look in the map, and a note where the reader is new. It is
 * enough to see one read of a connection, so where there are very many user space lets this one rest. */
SEC("raw_tp/tcp_rcv_space_adjust")
int handle_read(__u64 *ctx)
{
	__u64 address = ctx[0];
	struct owner *owner = bpf_map_lookup_elem(&owners, &address);
	__u32 cpu = bpf_get_smp_processor_id();
	struct linnix_tcp_reads *mine = bpf_map_lookup_elem(&reads, &cpu);
	struct owner me;

	if (mine)
		mine->count++;
	if (owner && owner->pid == bpf_get_current_pid_tgid() >> 32)
		return 0;
	me = myself();
	bpf_map_update_elem(&owners, &address, &me, 0);
	return 0;
}

SEC("raw_tp/tcp_retransmit_skb")
int handle_retransmit(__u64 *ctx)
{
	/* What did not leave the host is no retransmit; before it had this argument it was not traced either. */
	if (field_exists(struct trace_event_raw_tcp_retransmit_skb, err) && (int)ctx[2])
		return 0;
	count((void *)ctx[0], LINNIX_TCP_RETRANSMIT);
	return 0;
}

/* The answer to a connection request, sent again: what there is of a socket is the listener. */
SEC("raw_tp/tcp_retransmit_synack")
int handle_retransmit_synack(__u64 *ctx)
{
	count((void *)ctx[0], LINNIX_TCP_RETRANSMIT);
	return 0;
}

SEC("raw_tp/tcp_send_reset")
int handle_send_reset(__u64 *ctx)
{
	count((void *)ctx[0], LINNIX_TCP_RESET_SENT);
	return 0;
}

SEC("raw_tp/tcp_receive_reset")
int handle_receive_reset(__u64 *ctx)
{
	count((void *)ctx[0], LINNIX_TCP_RESET_RECEIVED);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
