/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What blame for CPU leaves in maps for user space. `kernel/blame_cpu.py` mirrors it, and tests/kernel/test_blame_cpu.py
 * proves the two equal. Times are those of the run queues' clock unless they are called otherwise.
 */
#ifndef LINNIX_BLAME_CPU_H
#define LINNIX_BLAME_CPU_H

/* Pairs a CPU keeps at hand before they go to the hash; slots for control groups, handed out once per epoch. */
#define BLAME_NEAR 128
#define BLAME_SLOTS 1024

/* What an amount is of. */
enum blame_what {
	BLAME_PROCESS = 0, /* a process waited while the offender ran */
	BLAME_CGROUP = 1,  /* somebody below a control group did: `victim` is its slot */
	BLAME_QUOTA = 2,   /* flag: it was kept from running by its own quota */
	BLAME_RAN = 4,	   /* flag, no pair: the victim itself ran */
	BLAME_SLEPT = 8,   /* flag, no pair: the victim itself slept in iowait */
};

#define BLAME_ANY_CPU 0xffff
/* Processes of one control group that are not told apart. */
#define BLAME_CROWD 0xffffffff

struct blame_key {
	__u32 victim;	/* pid or slot */
	__u32 offender; /* pid, 0: nobody ran; or BLAME_CROWD */
	__u32 salt;	/* of the starts and control groups of both: pids come back, and processes move */
	__u16 cpu;	/* where, for what is a union per CPU; else BLAME_ANY_CPU */
	__u8 what;
	__u8 pad;
};

struct blame_sum {
	__u64 task_ns;
	__u64 stall_ns;
	__u64 victim_start_ns; /* boot time of the thread-group leader; 0 for a control group */
	__u64 victim_cgroup;
	__u64 offender_start_ns;
	__u64 offender_cgroup;
};

struct blame_pair {
	struct blame_key key;
	struct blame_sum sum;
};

struct blame_near {
	struct blame_pair pairs[BLAME_NEAR];
};

/* Set by user space. Epochs are counted from 1; in 0 the programs do nothing. */
struct blame_control {
	__u64 epoch;
	__u64 begin_mono_ns; /* CLOCK_MONOTONIC and CLOCK_BOOTTIME of its begin */
	__u64 begin_boot_ns;
	__u32 active;	   /* which of the two buffers programs write */
	__u32 nr_slots;	   /* handed out, by the programs */
	__u32 nr_pairs[2]; /* in each buffer's hash, counted by the programs */
};

/* One CPU, written under the lock of its run queue. Sums are of this epoch. */
struct blame_cpu {
	__u64 epoch;
	__u64 begin; /* of the epoch */
	__u64 since; /* the last switch */
	__u64 credit;
	__u32 head;  /* the slice that runs now */
	__u32 slot;  /* of who runs now */
	__u32 many;  /* its pid if it has several threads, else 0 */
	__u32 crowd; /* the same as head, of control groups */
	__u64 waits;
	__u64 waited_ns;
	__u64 forgotten_ns; /* of them, waited longer ago than this CPU remembers who ran */
	__u64 untold_ns;    /* charged, but found no room in the hash */
	__u64 unmatched_ns; /* waited by who could not be noted, or whose control group found no slot */
};

struct blame_slot {
	__u64 cgroup;
	__u32 parent; /* slot; 0: the root, which has none */
	__u32 pad;
};

#endif
