// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Every thread of the host, written as binary records into the task iterator's file.
 *
 * All threads, because a leader's run time does not hold its threads'; user space sums them by process. The memory of
 * a process is told once, by its leader, or by all threads when the leader has exited and left its mm.
 */
#include "linnix_core.bpf.h"
#include "event.h"
#include "task.bpf.h"

#define MAX_CPUS 1024

/* Its only use is to know where each CPU's copy of per-CPU data lies: __per_cpu_offset is in no BTF, and in kallsyms
 * only where data symbols are. One known per-CPU pointer and its address on a CPU give the distance. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} landmark SEC(".maps");

/* A pointer the verifier guards becomes a number by way of the stack. */
static __always_inline __u64 as_number(void *pointer)
{
	void *volatile slot = pointer;
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), (const void *)&slot);
	return number;
}

static __always_inline __s64 read_share(const __s32 *shares, __u64 distance)
{
	__s32 pages = 0;

	bpf_probe_read_kernel(&pages, sizeof(pages), (void *)((__u64)shares + distance));
	return pages;
}

/* A percpu_counter's count lags by what its CPUs have not handed in: up to 2 * CPUs (at least 32) pages each. */
static __always_inline __s64 rss_of_counters(struct mm_struct *mm)
{
	__s64 file = mm->rss_stat[MM_FILEPAGES].count;
	__s64 anon = mm->rss_stat[MM_ANONPAGES].count;
	__s64 shmem = mm->rss_stat[MM_SHMEMPAGES].count;
	__u64 array = as_number(&landmark);
	__u64 origin = 0;
	__u32 key = 0;

	bpf_probe_read_kernel(&origin, sizeof(origin), (void *)(array + field_offset(struct bpf_array, pptrs)));
	for (__u32 cpu = 0; cpu < MAX_CPUS; cpu++) {
		void *copy = bpf_map_lookup_percpu_elem(&landmark, &key, cpu);
		__u64 distance;

		if (!copy)
			break;
		distance = as_number(copy) - origin;
		file += read_share(mm->rss_stat[MM_FILEPAGES].counters, distance);
		anon += read_share(mm->rss_stat[MM_ANONPAGES].counters, distance);
		shmem += read_share(mm->rss_stat[MM_SHMEMPAGES].counters, distance);
	}
	return (file > 0 ? file : 0) + (anon > 0 ? anon : 0) + (shmem > 0 ? shmem : 0);
}

/* Before 6.2 a thread kept up to 64 pages a counter to itself. This thread's are added; those of its siblings are not. */
static __always_inline __s64 read_counter(const atomic_long_t *shared, const int *own)
{
	__s64 pages = 0;
	int kept = 0;

	bpf_probe_read_kernel(&pages, sizeof(pages), &shared->counter);
	bpf_probe_read_kernel(&kept, sizeof(kept), own);
	pages += kept;
	return pages > 0 ? pages : 0;
}

/* Indices written out, because only a constant one is relocated to the kernel's size of an element. */
static __always_inline __u64 rss_pages(struct task_struct *task, struct mm_struct *mm)
{
	struct mm_struct___before_6_2 *old;
	struct task_struct___before_6_2 *own;

	if (!field_exists(struct mm_rss_stat, count))
		return rss_of_counters(mm);
	old = stay_here(mm);
	own = stay_here(task);
	return read_counter(&old->rss_stat.count[MM_FILEPAGES], &own->rss_stat.count[MM_FILEPAGES]) +
	       read_counter(&old->rss_stat.count[MM_ANONPAGES], &own->rss_stat.count[MM_ANONPAGES]) +
	       read_counter(&old->rss_stat.count[MM_SHMEMPAGES], &own->rss_stat.count[MM_SHMEMPAGES]);
}

SEC("iter/task")
int write_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_struct *leader, *parent;
	struct linnix_task record = {};
	struct mm_struct *mm;

	if (!task)
		return 0;
	leader = task->group_leader;
	parent = task->real_parent;
	record.start_ns = leader->start_boottime;
	record.run_ns = task->se.sum_exec_runtime;
	record.group_run_ns = task->signal->sum_sched_runtime;
	record.cgroup_id = task_cgroup_id(task);
	record.pid = task->tgid;
	record.tid = task->pid;
	record.ppid = parent->tgid;
	record.uid = task->cred->uid.val;
	record.gid = task->cred->gid.val;
	record.state = task_state(task);
	record.threads = task->signal->nr_threads;
	record.flags = task->flags;
	mm = task->mm;
	if (mm && (task->pid == task->tgid || !leader->mm))
		record.rss_pages = rss_pages(task, mm);
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), task->comm);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
