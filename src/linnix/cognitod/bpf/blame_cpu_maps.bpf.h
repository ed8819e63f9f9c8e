/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What blame for CPU remembers, and how much of it.
 *
 * All that belongs to a CPU is written under the lock of its run queue, by whatever CPU holds it: hence no atomics but
 * where CPUs meet, and no per-CPU maps.
 */
#ifndef LINNIX_BLAME_CPU_MAPS_BPF_H
#define LINNIX_BLAME_CPU_MAPS_BPF_H

#include "linnix_core.bpf.h"
#include "blame_cpu.h"

#define SLICES 512
#define CROWDS 256
#define LEVELS 12 /* of control groups; those above more than so many are not told */
#define COVERS 4
#define THROTTLES 4
/* Pairs that a buffer holds. When half are taken, processes are told of crowds only; when three quarters are, of nobody:
 * the rest is for control groups. */
#define PAIRS 16384
#define PAIRS_OF_PROCESSES (PAIRS / 2)
#define PAIRS_OF_CROWDS (PAIRS / 4 * 3)

/* What ran, without gaps: a slice began when the one before it ended. The idle task is a runner as well, as pid 0. */
struct slice {
	__u64 end;
	__u64 start_ns;
	__u64 cgroup;
	__u32 pid;
	__u32 salt;
};

/* The same by control group, which reaches further back. */
struct crowd {
	__u64 end;
	__u64 cgroup;
};

struct slices {
	struct slice at[SLICES];
	struct crowd crowds[CROWDS];
};

/* What is known of a thread. */
struct note {
	__u64 epoch;
	__u64 start_ns;
	__u64 cgroup;
	__u64 set;	 /* address of its css_set: as long as it is the same, so is the control group */
	__u64 run_delay; /* sched_info.run_delay after its last wait that was charged */
	__u64 queued;	 /* began to wait unknown to sched_info, else 0 */
	__u64 slept;	 /* began to sleep in iowait, else 0 */
	__u64 queue;	 /* address of the cfs_rq it ran from last, and throttled_total() of that then */
	__u64 throttled;
	__u32 pid;
	__u32 salt;
	__u32 slot;
	__u16 slept_cpu;
	__u16 is_stale; /* last_queued will be of a sleep */
};

/* An interval of which `covered` was waited: all of it, unless it was made of two to save room. */
struct span {
	__u64 begin;
	__u64 end;
	__u64 covered;
};

/* When somebody of a group waited on a CPU: disjoint, the newest at `top`. */
struct cover {
	__u64 epoch;
	__u64 cgroup;
	__u32 parent; /* slot */
	__u16 top;
	__u16 count;
	struct span spans[COVERS];
};

struct throttle {
	__u64 begin;
	__u64 end;
};

/* When a queue was kept from running by its quota or one above it; `since` while it is. */
struct quota {
	__u64 epoch;
	__u64 since;
	__u64 total; /* throttled_total() when it was last looked at */
	__u32 top;
	__u32 pad;
	struct throttle last[THROTTLES];
};

/* Who waited, and what is to be added where. */
struct charge {
	__u64 victim_start_ns;
	__u64 victim_cgroup;
	__u32 victim;
	__u32 salt;
	__u32 lane; /* the CPU that was waited for */
	__u32 buffer;
	__u16 cpu; /* the same, or BLAME_ANY_CPU */
	__u8 what;
	__u8 is_task;	   /* adds to task_ns */
	__u8 is_stall;	   /* adds to stall_ns */
	__u8 is_throttled; /* work.throttles tell when */
	__u8 is_short;	   /* only the last slice and no quota is concerned */
	__u8 pad;
	/* of the interval that is walked now */
	__u64 from;
	__u32 part;
	__u32 pad_too;
};

/* What is being charged. Who waits is told once more, as its own offender, with the times in which its own quota kept it
 * from running, the newest first: now, before, and unseen. In a map for the sake of the stack. */
struct work {
	struct charge charge;
	struct slice self;
	struct throttle throttles[THROTTLES + 2];
};

struct process_cpu {
	__u32 pid;
	__u32 cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct blame_control);
} control SEC(".maps");

/* Arrays by CPU: user space sets how many there are. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct blame_cpu);
} cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slices);
} ran SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct work);
} works SEC(".maps");

/* cpu * 2 + buffer */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct blame_near);
} near SEC(".maps");

/* cpu * BLAME_SLOTS + slot */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BLAME_SLOTS);
	__type(key, __u32);
	__type(value, struct cover);
} group_covers SEC(".maps");

/* Of processes with more than one thread. Those that are gone make room; one that is evicted alive, among thousands, is
 * charged again for what its threads waited at the same time before. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct process_cpu);
	__type(value, struct cover);
} process_covers SEC(".maps");

/* By the address of a cfs_rq, of those that were throttled. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, __u64);
	__type(value, struct quota);
} quotas SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PAIRS);
	__type(key, struct blame_key);
	__type(value, struct blame_sum);
} pairs_0 SEC(".maps"), pairs_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct note);
} notes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BLAME_SLOTS);
	__type(key, __u64);
	__type(value, __u32);
} slot_of SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BLAME_SLOTS);
	__type(key, __u32);
	__type(value, struct blame_slot);
} slots SEC(".maps");

#endif
