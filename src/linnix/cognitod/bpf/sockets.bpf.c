// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * What every process sends and receives through sockets of IP, and the TCP connections it makes and is made.
 *
 * sock_send_length and sock_recv_length are of 6.3, "sock: add tracepoint for send recv length", and come at the end of
 * every sendmsg and recvmsg of a socket, those of read(), write() and the kernel included, where `current` is who
 * asked. A connection is established in softirq, where `current` is a stranger: it belongs to who
 * connected, or to who listens.
 */
#include "linnix_core.bpf.h"
#include "owner.bpf.h"
#include "sights.h"

#define MAX_PROCESSES 4096

/* include/linux/socket.h */
#define AF_INET 2
#define AF_INET6 10
#define MSG_PEEK 2

/* User space takes out what it reads. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_PROCESSES);
	__type(key, struct linnix_socket_key);
	__type(value, struct linnix_socket_counts);
} counts SEC(".maps");

/* One value a CPU: user space sets max_entries to the number of possible CPUs, and rests when there are too many. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct linnix_socket_books);
} books SEC(".maps");

/* The counts of this CPU for a process; NULL where the map is full. Asked for anything that is counted. */
static __always_inline struct linnix_socket_counts *open_account(struct linnix_socket_key *key)
{
	struct linnix_socket_counts fresh = {};
	__u32 cpu = bpf_get_smp_processor_id();
	struct linnix_socket_books *book = bpf_map_lookup_elem(&books, &cpu);
	struct linnix_socket_counts *mine = bpf_map_lookup_elem(&counts, key);

	if (!mine) {
		bpf_map_update_elem(&counts, key, &fresh, BPF_NOEXIST);
		mine = bpf_map_lookup_elem(&counts, key);
	}
	if (book) {
		add_up(&book->calls, 1);
		if (!mine)
			add_up(&book->lost, 1);
	}
	return mine;
}

static __always_inline struct linnix_socket_counts *account_of_caller(struct sock *sk, int length)
{
	struct linnix_socket_key key = {};
	struct task_struct *task;
	unsigned short family;

	if (length <= 0)
		return NULL;
	family = sk->__sk_common.skc_family;
	if (family != AF_INET && family != AF_INET6)
		return NULL;
	task = bpf_get_current_task_btf();
	key.pid = task->tgid;
	key.start_ns = task->group_leader->start_boottime;
	return open_account(&key);
}

SEC("tp_btf/sock_send_length")
int handle_send(__u64 *ctx)
{
	int length = ctx[1];
	struct linnix_socket_counts *mine = account_of_caller((void *)ctx[0], length);

	if (mine) {
		add_up(&mine->tx_bytes, length);
		add_up(&mine->tx_calls, 1);
	}
	return 0;
}

SEC("tp_btf/sock_recv_length")
int handle_receive(__u64 *ctx)
{
	int length = ctx[1];
	struct linnix_socket_counts *mine;

	if (ctx[2] & MSG_PEEK) /* it will be received once more */
		return 0;
	mine = account_of_caller((void *)ctx[0], length);
	if (mine) {
		add_up(&mine->rx_bytes, length);
		add_up(&mine->rx_calls, 1);
	}
	return 0;
}

static __always_inline void count_connection(struct owner *owner)
{
	struct linnix_socket_key key = {};
	struct linnix_socket_counts *mine;

	if (owner) { /* else it was begun, or listened for, before this was attached */
		key.pid = owner->pid;
		key.start_ns = owner->start_ns;
	}
	mine = open_account(&key);
	if (mine)
		add_up(&mine->connects, 1);
}

SEC("tp_btf/inet_sock_set_state")
int handle_connection(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	int before = ctx[1], after = ctx[2];
	__u64 address = (__u64)sk;
	struct listener key;
	struct owner me;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (after == TCP_SYN_SENT) {
		me = myself();
		bpf_map_update_elem(&owners, &address, &me, 0);
	} else if (after == TCP_LISTEN) {
		me = myself();
		key = listener_of(sk);
		bpf_map_update_elem(&listeners, &key, &me, 0);
	} else if (before == TCP_SYN_SENT) {
		if (after == TCP_ESTABLISHED)
			count_connection(bpf_map_lookup_elem(&owners, &address));
		bpf_map_delete_elem(&owners, &address);
	} else if (before == TCP_SYN_RECV && after == TCP_ESTABLISHED) {
		key = listener_of(sk);
		count_connection(bpf_map_lookup_elem(&listeners, &key));
	}
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
