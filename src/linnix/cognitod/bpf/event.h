/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The wire contract between the BPF programs and user space. `cognitod/events.py` mirrors it, and
 * tests/layout proves the two equal from the BTF of the compiled objects.
 *
 * Vocabulary: `pid` is what user space calls a PID (the kernel's tgid); `tid` is a thread's id (the kernel's pid).
 * Every record is a multiple of 8 bytes, widest fields first, with explicit padding: never `packed`.
 */
#ifndef LINNIX_EVENT_H
#define LINNIX_EVENT_H

#define LINNIX_COMM_LEN 16
#define LINNIX_FILENAME_LEN 128
#define LINNIX_ARGV_LEN 256

/* Open files are counted up to here. */
#define LINNIX_MAX_FILES 65536

/* Instead of a counter that this kernel was built without. */
#define LINNIX_UNKNOWN (~0ULL)

enum linnix_kind {
	LINNIX_EXEC = 0,
	LINNIX_FORK = 1,
	LINNIX_EXIT = 2,
	/* Only a kind in the books: the texts travel in a ring of their own. */
	LINNIX_EXEC_TEXT = 3,
	/* Likewise. */
	LINNIX_ACCOUNT = 4,
	LINNIX_KINDS = 5,
};

/* One lifecycle event of a process (never of a thread). */
struct linnix_event {
	__u64 ts_ns;	       /* CLOCK_MONOTONIC, taken after the reserve */
	__u64 start_ns;	       /* boot time of the thread-group leader: (pid, start_ns) is the identity */
	__u64 parent_start_ns; /* the same of the parent */
	__u64 cgroup_id;       /* cgroup2 id (kernfs inode) */
	__u64 text_seq;	       /* exec: the text record of this exec carries the same (pid, start_ns, seq); else 0 */
	__u64 cpu_ns;	       /* exit: CPU time of the whole thread group, up to the scheduler's last tick */
	__u64 max_rss_pages;   /* exit: peak resident set, in pages */
	__u32 pid;
	__u32 ppid;
	__u32 uid;
	__u32 gid;
	__u32 kind;	   /* enum linnix_kind */
	__u32 cpu;	   /* processor the event happened on */
	__u32 exit_code;   /* exit: 0..255 */
	__u32 exit_signal; /* exit: terminating signal, 0 if it returned; bit 7 set: core dumped */
	char comm[LINNIX_COMM_LEN];
};

/* What an exec ran. Travels in a ring of its own, so that lifecycle records stay small. */
struct linnix_exec_text {
	__u64 start_ns;
	__u64 seq;
	__u32 pid;
	__u32 argv_len;	    /* bytes of argv used, at most LINNIX_ARGV_LEN; NULs separate the words */
	__u32 filename_len; /* bytes of filename used, without the final NUL */
	__u32 argv_total;   /* bytes the argument area really had */
	char filename[LINNIX_FILENAME_LEN];
	char argv[LINNIX_ARGV_LEN];
};

/* What a process used in all, told when the kernel frees it. Travels in a ring of its own. */
struct linnix_account {
	__u64 start_ns;
	__u64 cpu_ns;	/* se.sum_exec_runtime of all its threads, to their last instruction */
	__u64 utime_ns; /* by ticks; user space scales the two to cpu_ns, as the kernel does for wait4(2) */
	__u64 stime_ns;
	__u64 run_delay_ns; /* sched_info.run_delay of all threads that died while we watched */
	__u64 nvcsw;
	__u64 nivcsw;
	__u64 min_flt;
	__u64 maj_flt;
	__u64 read_bytes; /* task_io_accounting: from and, when dirtied, to block devices */
	__u64 write_bytes;
	__u32 pid;
	__u32 threads; /* how many threads it had, one after another included, of those that died while we watched */
};

/* One thread as the task iterator sees it: its own counters and, in the record of the leader, those of the threads
 * that are gone as well. So the sum over a group's records is the process. What belongs to the process as a whole
 * is told by its leader, or by all its threads when the leader has exited and left it; the others tell 0. */
struct linnix_task {
	__u64 run_ns;	/* se.sum_exec_runtime: to the scheduler's last look, to the nanosecond */
	__u64 utime_ns; /* by ticks where the kernel samples: only the ratio of the two means something */
	__u64 stime_ns;
	__u64 run_delay_ns; /* sched_info.run_delay; of threads that are gone the kernel keeps none */
	__u64 nvcsw;
	__u64 nivcsw;
	__u64 min_flt;
	__u64 maj_flt;
	__u64 read_bytes; /* task_io_accounting */
	__u64 write_bytes;
	__u64 cancelled_write_bytes;
	__u64 file_pages; /* of the mm, per-CPU counters included */
	__u64 anon_pages;
	__u64 shmem_pages;
	__u64 swap_pages;
	__u64 pgtables_bytes;
	__u64 start_ns; /* boot time of the thread-group leader */
	__u64 cgroup_id;
	__u32 pid;
	__u32 tid;
	__u32 ppid;
	__u32 uid;
	__u32 gid;
	__u32 state;	  /* the kernel's __state | exit_state bits */
	__u32 threads;	  /* signal->nr_threads */
	__u32 flags;	  /* task->flags: PF_KTHREAD and friends */
	__u32 open_files; /* LINNIX_MAX_FILES: that many or more */
	__s32 oom_score_adj;
	__s32 nice;
	__u32 _pad;
	char comm[LINNIX_COMM_LEN];
};

/* The scheduler's own clocks, as of the last walk of the task iterator. */
#define LINNIX_MAX_CPUS 1024

struct linnix_clocks {
	__u64 living_run_ns; /* se.sum_exec_runtime of all tasks of the walk that have not exited */
	__u64 irq_ns;	     /* not 0: the kernel times interrupts, and takes that time from the tasks that they hit */
	__u64 read_bytes;    /* their task_io_accounting */
	__u64 write_bytes;   /* likewise, less what was cancelled */
};

/* How long the idle task has been on a CPU since the program was attached. Alone in its cache line. */
struct linnix_idle {
	__u64 total_ns; /* without the time since `since_ns` */
	__u64 since_ns; /* CLOCK_MONOTONIC; 0: it is not on the CPU now, or has been since before */
	__u64 irq_ns;	/* of the total: in interrupts, where the kernel times them */
	__u64 clock_ns; /* the program's own notes */
	__u64 irq_since_ns;
	__u64 unused[3];
};

/* The rings, as far as somebody could flood them. */
enum linnix_ring {
	LINNIX_EVENTS_RING = 0,
	LINNIX_TEXTS_RING = 1,
	LINNIX_ACCOUNTS_RING = 2,
};

/* Who holds a part of a ring. `cgroup_id` 0: the user in all cgroups; `uid` ~0: the cgroup of all users. */
struct linnix_flood_key {
	__u64 cgroup_id;
	__u32 uid;  /* who answers: of the ids of a user namespace, who made it */
	__u32 ring; /* enum linnix_ring */
};

struct linnix_flood {
	__u64 drained; /* how far the reader was when `used` began */
	__u64 used;    /* bytes */
	__u64 lost[LINNIX_KINDS];
};

/* One CPU's account, cumulative: what reached a ring, what did not for want of room, and what is only counted. */
struct linnix_books {
	__u64 produced[LINNIX_KINDS]; /* by enum linnix_kind */
	__u64 lost[LINNIX_KINDS];
	__u64 flood[LINNIX_KINDS]; /* lost as well, because their group already held its share of the ring */
	__u64 threads;		   /* born by clone(2) into the group of their parent */
	__u64 workers;		   /* born by the kernel for io_uring and vhost, which no fork event tells of */
	__u64 buried_run_ns;	   /* se.sum_exec_runtime of all tasks that exited, kernel threads included */
	__u64 buried_read_bytes;
	__u64 buried_write_bytes; /* less what was cancelled: of a single task it may be negative */
};

#endif
