/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The record in which the blame programs for IO and memory tell what happened. `kernel/stalls.py` mirrors it, and
 * tests/layout/test_stall_layout.py proves the two equal.
 *
 * One size for all kinds, so that a ring of them is an array. Times are CLOCK_MONOTONIC.
 */
#ifndef LINNIX_STALL_H
#define LINNIX_STALL_H

enum linnix_stall_kind {
	LINNIX_STALL_WAIT = 0,	 /* a thread waited from begin_ns to ts_ns */
	LINNIX_STALL_SERVED = 1, /* a device had a request from begin_ns to ts_ns */
	LINNIX_STALL_ALLOC = 2,	 /* a process took `amount` pages between begin_ns and ts_ns */
	LINNIX_STALL_CGROUP = 3, /* the parent of cgroup_id is `key` */
	LINNIX_STALL_KINDS = 4,
};

/* Why a thread waited. */
enum linnix_stall_cause {
	LINNIX_CAUSE_IO = 0,	     /* slept in iowait */
	LINNIX_CAUSE_RECLAIM = 1,    /* freed pages for itself, because the host or its node had none */
	LINNIX_CAUSE_OWN_LIMIT = 2,  /* freed pages of its own memory cgroup, or slept for it */
	LINNIX_CAUSE_COMPACTION = 3, /* moved pages to make a large one */
	LINNIX_CAUSE_REFAULT = 4,    /* waited for a page that had been evicted a moment ago */
};

/* How a request ended. */
enum linnix_stall_end {
	LINNIX_END_DONE = 0,
	LINNIX_END_REFUSED = 1, /* the driver had no room for it; it will be issued again */
	/* Its issue was not seen, and begin_ns is when it was made: it was in flight before anybody looked, or is one of a
	 * flush, which complete once more without having been issued. */
	LINNIX_END_UNSEEN = 2,
	LINNIX_END_MISSED = 3, /* it was done with at some time before: it is issued for something else */
};

struct linnix_stall {
	__u64 ts_ns; /* 0 while it goes on */
	__u64 begin_ns;
	__u64 start_ns;	 /* boot time of the thread-group leader of who waited, submitted or allocated */
	__u64 cgroup_id; /* cgroup2 id of the same */
	__u64 key;	 /* served: names the request; cgroup: the parent; wait: CPU time since the last one */
	__u32 pid;
	__u32 tid;
	__u32 dev;    /* kernel's dev_t of the whole disk; wait: 0 when none was found */
	__u32 amount; /* served: bytes; alloc: pages; wait for memory: how deeply nested */
	__u32 cpu;    /* wait: where it began */
	__u8 kind;
	__u8 cause;    /* wait: enum linnix_stall_cause; served: enum linnix_stall_end */
	__u8 inferred; /* served: the owner is a conclusion, not an observation */
	__u8 op;       /* served: REQ_OP_* */
};

/* One CPU's account of what found no room. */
struct linnix_stall_books {
	__u64 lost[LINNIX_STALL_KINDS]; /* records */
	__u64 lost_wait_ns;		/* in lost wait records */
	__u64 lost_from_ns;		/* since when all records were lost; 0 once there is room again */
	__u64 unseen_waits;  /* waits that found no room in the map of open ones, so that nobody knows how long */
	__u64 host_reclaims; /* memory: times that the host as a whole began or ceased to free pages */
};

/* How long one CPU was not idle for a cgroup, beside waiting: a task of it ran there, or wanted to. */
struct linnix_ran {
	__u64 ns;
	__u64 until_ns; /* the last moment that is in it */
};

/* What one CPU has done for the cgroup whose task it runs, or ran last. */
struct linnix_running {
	__u64 cgroup_id;
	__u64 since_ns; /* when the present task got the CPU; 0: idle */
	__u64 ran_ns;	/* before that, since another cgroup had it */
};

#endif
