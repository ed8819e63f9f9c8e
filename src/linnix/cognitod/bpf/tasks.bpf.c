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

/* Set before load. Possible CPUs, because a counter keeps its share of one that went offline. */
const volatile __u32 possible_cpus = 0;

/* Where each CPU's copy of per-CPU data begins. Absent from BTF, so it comes from kallsyms, and not at all where that
 * hides addresses: then RSS lacks what is still in the counters of the CPUs, at most 2 * CPUs (but not less than 32)
 * pages per CPU and counter. */
extern const void __per_cpu_offset __ksym __weak;

static __always_inline __s64 counted(__s64 pages, const __s32 *shares)
{
	const unsigned long *offsets = (const unsigned long *)&__per_cpu_offset;

	for (__u32 cpu = 0; offsets && cpu < MAX_CPUS && cpu < possible_cpus; cpu++) {
		unsigned long offset;
		__s32 share;

		if (bpf_probe_read_kernel(&offset, sizeof(offset), offsets + cpu))
			break;
		if (bpf_probe_read_kernel(&share, sizeof(share), (void *)((unsigned long)shares + offset)))
			break;
		pages += share;
	}
	return pages > 0 ? pages : 0;
}

static __always_inline __s64 counted_before_6_2(const atomic_long_t *counter)
{
	__s64 pages = 0;

	bpf_probe_read_kernel(&pages, sizeof(pages), &counter->counter);
	return pages > 0 ? pages : 0;
}

/* Written out, because only a constant index is relocated to the kernel's size of the element. */
static __always_inline __u64 rss_pages(struct mm_struct *mm)
{
	if (field_exists(struct mm_rss_stat, count)) {
		struct mm_struct___before_6_2 *old = stay_here(mm);

		return counted_before_6_2(&old->rss_stat.count[MM_FILEPAGES]) +
		       counted_before_6_2(&old->rss_stat.count[MM_ANONPAGES]) +
		       counted_before_6_2(&old->rss_stat.count[MM_SHMEMPAGES]);
	}
	return counted(mm->rss_stat[MM_FILEPAGES].count, mm->rss_stat[MM_FILEPAGES].counters) +
	       counted(mm->rss_stat[MM_ANONPAGES].count, mm->rss_stat[MM_ANONPAGES].counters) +
	       counted(mm->rss_stat[MM_SHMEMPAGES].count, mm->rss_stat[MM_SHMEMPAGES].counters);
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
		record.rss_pages = rss_pages(mm);
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), task->comm);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
