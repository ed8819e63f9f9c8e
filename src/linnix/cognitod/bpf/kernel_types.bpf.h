/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Types of the kernel, as far as our programs look at them: only those struct members that are read.
 *
 * Every struct carries preserve_access_index, so clang writes a relocation instead of an offset and libbpf fills in
 * the running kernel's. Order, types around and omitted members do not matter; names and nesting do. Where a kernel
 * changed a member, the older shape is a flavour (`name___before`) and the accessor that chooses stands in
 * task.bpf.h with the commit that changed it.
 */
#ifndef LINNIX_KERNEL_TYPES_BPF_H
#define LINNIX_KERNEL_TYPES_BPF_H

/* Which controllers there are, and their numbers, depends on the kernel's configuration. */
enum cgroup_subsys_id {
	memory_cgrp_id,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

typedef struct {
	long counter;
} atomic_long_t;

typedef struct {
	__u32 val;
} kuid_t;

typedef struct {
	__u32 val;
} kgid_t;

struct list_head {
	struct list_head *next;
};

struct user_namespace {
	struct user_namespace *parent;
	int level; /* 0: the initial one */
	kuid_t owner;
};

struct cred {
	struct user_namespace *user_ns;
	kuid_t uid;
	kgid_t gid;
};

struct kernfs_node {
	const char *name;
	__u64 id;
};

struct cgroup;

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys_state *parent;
};

/* hierarchy_id is 0 for the one of version 2, which exists from boot on: /proc/PID/cgroup shows it. */
struct cgroup_root {
	int hierarchy_id;
};

struct cgroup {
	struct cgroup_subsys_state self;
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct css_set {
	struct cgroup *dfl_cgrp;
	struct cgroup_subsys_state *subsys[1];
};

/* With CONFIG_TASK_IO_ACCOUNTING. */
struct task_io_accounting {
	__u64 read_bytes;
	__u64 write_bytes;
	__u64 cancelled_write_bytes;
};

/* With CONFIG_SCHED_INFO. */
struct sched_info {
	unsigned long long run_delay;
	unsigned long long last_queued;
};

struct signal_struct {
	atomic_t live;
	int nr_threads;
	int group_exit_code;
	unsigned int flags;
	__u64 utime;
	__u64 stime;
	unsigned long nvcsw;
	unsigned long nivcsw;
	unsigned long min_flt;
	unsigned long maj_flt;
	struct task_io_accounting ioac;
	unsigned long maxrss;
	unsigned long long sum_sched_runtime;
	struct list_head thread_head;
	short oom_score_adj;
};

struct fdtable {
	unsigned int max_fds;
	unsigned long *open_fds;
};

struct files_struct {
	struct fdtable *fdt;
};

struct rq {
	__u64 clock;
	__u64 prev_irq_time; /* with CONFIG_IRQ_TIME_ACCOUNTING */
	int cpu;
};

/* rq with CONFIG_FAIR_GROUP_SCHED. */
struct cfs_rq {
	struct rq *rq;
	/* With CONFIG_CFS_BANDWIDTH, since 6.6, 677ea015f231 "sched: add throttled time stat for throttled children". */
	__u64 throttled_clock_self;
	__u64 throttled_clock_self_time;
};

/* With CONFIG_CFS_BANDWIDTH; the time is of 6.0, 64eaf50731ac "sched/fair: Decay task PELT values during wakeup
 * migration". */
struct cfs_rq___before_6_6 {
	int throttle_count;
	__u64 throttled_clock_pelt_time;
};

struct sched_entity {
	struct cfs_rq *cfs_rq;
	__u64 sum_exec_runtime;
	/* Since 6.12, 152e11f6df29 "sched/fair: Implement delayed dequeue". */
	unsigned char sched_delayed;
};

struct percpu_counter {
	__s64 count;
	__s32 *counters;
};

struct mm_struct {
	unsigned long total_vm;
	unsigned long arg_start;
	unsigned long arg_end;
	atomic_long_t pgtables_bytes;
	struct percpu_counter rss_stat[4];
};

/* Before 6.2, f1a7941243c1 "mm: convert mm's rss stats into percpu_counter". */
struct mm_rss_stat {
	atomic_long_t count[4];
};

struct mm_struct___before_6_2 {
	struct mm_rss_stat rss_stat;
};

struct task_rss_stat {
	int count[4];
};

struct task_struct___before_6_2 {
	struct task_rss_stat rss_stat;
};

struct task_struct {
	unsigned int __state;
	unsigned int flags;
	int exit_state;
	int exit_code;
	int pid;
	int tgid;
	int static_prio;
	int on_rq;
	__u64 start_boottime;
	__u64 utime;
	__u64 stime;
	unsigned long nvcsw;
	unsigned long nivcsw;
	unsigned long min_flt;
	unsigned long maj_flt;
	struct task_io_accounting ioac;
	struct files_struct *files;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	const struct cred *cred;
	struct css_set *cgroups;
	struct signal_struct *signal;
	struct mm_struct *mm;
	struct list_head thread_node;
	struct sched_entity se;
	struct sched_info sched_info;
	unsigned int in_iowait : 1;
	unsigned int
		in_memstall : 1; /* with CONFIG_PSI; since 5.8, 1066d1b6974e "psi: Move PF_MEMSTALL out of task->flags" */
	char comm[16];
};

/* Before 5.14, 2f064a59a11f "sched: Change task_struct::state". */
struct task_struct___before_5_14 {
	long state;
};

/* What says whether a task is one that the kernel made for io_uring or vhost without a fork event: io_thread since 5.12,
 * cc440e8738e5 "kernel: provide create_io_thread() helper"; user_worker since 6.4, 54e6842d0775 "fork/vm: Move common
 * PF_IO_WORKER behavior to new flag". The task's own flags tell; these members only tell which flags there are. */
struct kernel_clone_args {
	__u32 io_thread : 1;
	__u32 user_worker : 1;
};

struct linux_binprm {
	const char *filename;
};

/* Since 6.9, 72ba14deb40a "mm: update mark_victim tracepoints fields". */
struct trace_event_raw_mark_victim {
	short oom_score_adj;
};

struct bpf_array {
	void *pptrs[1];
};

/* Since 6.16, "sched/tracepoints: Move and extend the sched_process_exit() tracepoint": the event's own record gained
 * group_dead together with the tracepoint's second argument, so the one tells of the other. */
struct trace_event_raw_sched_process_exit {
	bool group_dead;
};

struct gendisk {
	int major;
	int first_minor;
};

struct block_device {
	struct gendisk *bd_disk;
};

struct request_queue {
	struct gendisk *disk;
};

struct blkcg {
	struct cgroup_subsys_state css;
};

struct blkcg_gq {
	struct blkcg *blkcg;
};

struct bio {
	struct block_device *bi_bdev;
	unsigned int bi_opf;
	struct blkcg_gq *bi_blkg; /* with CONFIG_BLK_CGROUP */
};

/* Before 5.12, 309dca309fc3 "block: store a block_device pointer in struct bio". */
struct bio___before_5_12 {
	struct gendisk *bi_disk;
};

struct request {
	struct request_queue *q;
	__u64 start_time_ns;
	unsigned int cmd_flags;
	unsigned int __data_len;
	struct bio *bio;
};

/* Before 5.17, f3fa33acca9f "block: remove the ->rq_disk field in struct request". */
struct request___before_5_17 {
	struct gendisk *rq_disk;
};

struct inode;

struct address_space {
	struct inode *host;
};

#pragma clang attribute pop

/* Contexts are not relocated: the verifier knows them by offset. */
struct bpf_iter_meta {
	void *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#endif
