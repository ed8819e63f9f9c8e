/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the optional probes share with user space: the layouts of their maps and records. Each is mirrored in
 * kernel/{latency,oom,tcp,sockets,syncs,blocked}.py, and tests/layout proves them equal from the BTF of the compiled objects.
 */
#ifndef LINNIX_SIGHTS_H
#define LINNIX_SIGHTS_H

#define LINNIX_COUNTS 30
#define LINNIX_HISTOGRAMS 128

/* How long things took, in classes by powers of two: counts[0] is below 1,024 ns, counts[i] is from 2^(i-1) * 1,024 ns
 * to twice that, and the last is everything from 275 s. */
struct linnix_histogram {
	__u64 cgroup_id; /* 0: free */
	__u64 sum_ns;
	__u64 counts[LINNIX_COUNTS];
};

/* One CPU's: those of the cgroups that found a place, and of all others together. */
struct linnix_histograms {
	struct linnix_histogram slots[LINNIX_HISTOGRAMS];
	struct linnix_histogram rest;
	__u64 total; /* of all of them */
};

/* A process that the kernel chose to kill for memory, as it was at that moment. */
struct linnix_oom {
	__u64 ts_ns;	/* CLOCK_MONOTONIC */
	__u64 start_ns; /* of the victim; 0 where the kernel named only its pid */
	__u64 invoker_start_ns;
	__u64 cgroup_id;   /* cgroup2 id of the victim */
	__u64 memcg_id;	   /* kernfs inode of its memory cgroup: on a v1 hierarchy another number */
	__u64 total_pages; /* mapped */
	__u64 anon_pages;  /* resident, as in the kernel's own log line: per-CPU remainders not counted */
	__u64 file_pages;
	__u64 shmem_pages;
	__u64 swap_pages;
	__u64 pgtables_bytes;
	__u32 pid;
	__u32 uid;
	__u32 invoker_pid; /* who asked for memory when there was none */
	__s32 oom_score_adj;
	char comm[16];
	char invoker_comm[16];
	char memcg_name[64]; /* last component of the memory cgroup's path */
};

/* Cumulative, for all CPUs. */
struct linnix_oom_books {
	__u64 kills;
	__u64 lost; /* found no room in the ring */
};

enum linnix_tcp_kind {
	LINNIX_TCP_RETRANSMIT = 0,
	LINNIX_TCP_RESET_SENT = 1,
	LINNIX_TCP_RESET_RECEIVED = 2,
	LINNIX_TCP_CONNECT = 3,
	LINNIX_TCP_REFUSED = 4,
	LINNIX_TCP_TIMED_OUT = 5,
	LINNIX_TCP_UNREACHABLE = 6,
	LINNIX_TCP_FAILED = 7,
	LINNIX_TCP_KINDS = 8,
};

/* Whose connections: 0 where that is not known. */
struct linnix_tcp_key {
	__u64 start_ns;
	__u64 cgroup_id; /* cgroup2 of the socket's creator, as the socket itself says */
	__u32 pid;
	__u32 pad;
};

struct linnix_tcp_counts {
	__u64 counts[LINNIX_TCP_KINDS];
};

/* Cumulative, for all CPUs. */
struct linnix_tcp_books {
	__u64 totals[LINNIX_TCP_KINDS];
	__u64 lost; /* of these, counted for nobody because the map was full */
};

/* One CPU's: calls that returned received data. A cache line of its own. */
struct linnix_tcp_reads {
	__u64 count;
	__u64 pad[7];
};

/* Whose sockets; 0 where that is not known. */
struct linnix_socket_key {
	__u64 start_ns;
	__u32 pid;
	__u32 pad;
};

/* Calls that moved something, what they moved, and connections that were established. */
struct linnix_socket_counts {
	__u64 tx_bytes;
	__u64 tx_calls;
	__u64 rx_bytes;
	__u64 rx_calls;
	__u64 connects;
};

/* One CPU's, cumulative. A cache line of its own. */
struct linnix_socket_books {
	__u64 calls; /* and connections */
	__u64 lost;  /* of these, counted for nobody because the map was full */
	__u64 pad[6];
};

/* Who asked for data to be on disk. */
struct linnix_sync_key {
	__u64 start_ns; /* of the thread-group leader */
	__u32 pid;
	__u32 pad;
};

/* Cumulative, for all CPUs. */
struct linnix_sync_books {
	__u64 calls;
	__u64 lost; /* of these, counted for nobody because the map was full */
};

/* A thread in uninterruptible sleep. */
struct linnix_blocked {
	__u64 start_ns; /* of the thread-group leader */
	__u64 switches; /* voluntary and not: unchanged between two looks, it has not run */
	__u64 cgroup_id;
	__u32 pid;
	__u32 tid;
	char comm[16];
};

#endif
