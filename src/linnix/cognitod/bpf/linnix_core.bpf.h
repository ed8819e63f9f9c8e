/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The kernel, as far as our programs look at it: helpers by number, and only those struct members that are read.
 *
 * Every struct carries preserve_access_index, so clang writes a relocation instead of an offset and libbpf fills in
 * the running kernel's. Order, types around and omitted members do not matter; names and nesting do. Where a kernel
 * changed a member, the older shape is a flavour (`name___before`) and the accessor that chooses stands in
 * task.bpf.h with the commit that changed it.
 */
#ifndef LINNIX_CORE_BPF_H
#define LINNIX_CORE_BPF_H

typedef unsigned char __u8;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define __always_inline inline __attribute__((always_inline))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
#define NULL ((void *)0)
#define true 1
#define false 0

/* Helper numbers are the kernel's ABI: enum bpf_func_id in include/uapi/linux/bpf.h. */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static __u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static __u32 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static long (*const bpf_probe_read_user)(void *dst, __u64 size, const void *unsafe) = (void *)112;
static long (*const bpf_probe_read_kernel)(void *dst, __u32 size, const void *unsafe) = (void *)113;
static long (*const bpf_probe_read_kernel_str)(void *dst, __u32 size, const void *unsafe) = (void *)115;
static long (*const bpf_seq_write)(void *seq, const void *data, __u32 len) = (void *)127;
static void *(*const bpf_ringbuf_reserve)(void *ring, __u64 size, __u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, __u64 flags) = (void *)132;
static __u64 (*const bpf_ringbuf_query)(void *ring, __u64 what) = (void *)134;
static void *(*const bpf_map_lookup_percpu_elem)(void *map, const void *key, __u32 cpu) = (void *)195;

#define BPF_MAP_TYPE_HASH 1
#define BPF_MAP_TYPE_PERCPU_ARRAY 6
#define BPF_MAP_TYPE_LRU_HASH 9
#define BPF_MAP_TYPE_RINGBUF 27
#define BPF_NOEXIST 1
#define BPF_F_NO_PREALLOC 1
#define BPF_RB_NO_WAKEUP 1
#define BPF_RB_FORCE_WAKEUP 2
#define BPF_RB_AVAIL_DATA 0
#define EEXIST 17

/* 2 is BPF_FIELD_EXISTS, 0 is BPF_FIELD_BYTE_OFFSET in enum bpf_core_relo_kind. */
#define field_exists(type, field) __builtin_preserve_field_info(((type *)0)->field, 2)
#define field_offset(type, field) __builtin_preserve_field_info(((type *)0)->field, 0)

/* A pointer whose use clang cannot move out of the branch it is written in. An access that does not exist in the running
 * kernel becomes an illegal instruction, harmless only as long as it stays behind its field_exists(). */
#define stay_here(pointer)                                                                                             \
	({                                                                                                             \
		void *here = (pointer);                                                                                \
		asm volatile("" : "+r"(here));                                                                         \
		here;                                                                                                  \
	})

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

struct cred {
	kuid_t uid;
	kgid_t gid;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
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

struct sched_entity {
	__u64 sum_exec_runtime;
};

struct percpu_counter {
	__s64 count;
	__s32 *counters;
};

struct mm_struct {
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

struct bpf_array {
	void *pptrs[1];
};

/* Since 6.16, "sched/tracepoints: Move and extend the sched_process_exit() tracepoint": the event's own record gained
 * group_dead together with the tracepoint's second argument, so the one tells of the other. */
struct trace_event_raw_sched_process_exit {
	bool group_dead;
};

#pragma clang attribute pop

/* Contexts are not relocated: the verifier knows them by offset. */
struct bpf_iter_meta {
	void *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#endif
