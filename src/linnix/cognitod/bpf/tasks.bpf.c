// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Every thread of the host, written as binary records into the task iterator's file.
 *
 * All threads, because a leader's counters do not hold its threads'; user space sums them by process. What a process
 * has as a whole, memory and open files, is told once, by its leader, or by all threads when that has exited.
 */
#include "linnix_core.bpf.h"
#include "clocks.bpf.h"
#include "event.h"
#include "memory.bpf.h"
#include "task.bpf.h"

#define DEFAULT_PRIO 120 /* include/linux/sched/prio.h: static_prio of nice 0 */
#define WORD_BITS 64

static __always_inline __u32 bits_set(__u64 word)
{
	word -= word >> 1 & 0x5555555555555555;
	word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
	word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return word * 0x0101010101010101 >> 56;
}

/* Set bits of open_fds, as the kernel counts them for /proc/PID/fd (fs/proc/fd.c). The table may grow meanwhile: then
 * its old self is read, which lives until the end of the grace period that the iterator keeps open. */
static __always_inline __u32 open_files(struct files_struct *files)
{
	struct fdtable *table = files->fdt;
	const unsigned long *bitmap = table->open_fds;
	__u32 words = table->max_fds / WORD_BITS;
	__u32 count = 0;

	for (__u32 at = 0; at < LINNIX_MAX_FILES / WORD_BITS && at < words; at++) {
		__u64 word = 0;

		bpf_probe_read_kernel(&word, sizeof(word), bitmap + at);
		count += bits_set(word);
	}
	return count;
}

/* What this thread used itself. */
static __always_inline void read_counters(struct task_struct *task, struct linnix_task *record)
{
	record->run_ns = task->se.sum_exec_runtime;
	record->utime_ns = task->utime;
	record->stime_ns = task->stime;
	record->run_delay_ns = field_exists(struct sched_info, run_delay) ? task_run_delay_ns(task) : LINNIX_UNKNOWN;
	record->nvcsw = task->nvcsw;
	record->nivcsw = task->nivcsw;
	record->min_flt = task->min_flt;
	record->maj_flt = task->maj_flt;
	record->read_bytes = record->write_bytes = record->cancelled_write_bytes = LINNIX_UNKNOWN;
	if (!field_exists(struct task_io_accounting, read_bytes))
		return;
	task = stay_here(task);
	record->read_bytes = task->ioac.read_bytes;
	record->write_bytes = task->ioac.write_bytes;
	record->cancelled_write_bytes = task->ioac.cancelled_write_bytes;
}

/* What the threads of its group used that release_task() has buried (kernel/exit.c, __exit_signal). */
static __always_inline void add_buried(struct signal_struct *signal, struct linnix_task *record)
{
	if (!signal->sum_sched_runtime) /* there were none: spare most processes the lines of memory that say so */
		return;
	record->run_ns += signal->sum_sched_runtime;
	record->utime_ns += signal->utime;
	record->stime_ns += signal->stime;
	record->nvcsw += signal->nvcsw;
	record->nivcsw += signal->nivcsw;
	record->min_flt += signal->min_flt;
	record->maj_flt += signal->maj_flt;
	if (!field_exists(struct task_io_accounting, read_bytes))
		return;
	signal = stay_here(signal);
	record->read_bytes += signal->ioac.read_bytes;
	record->write_bytes += signal->ioac.write_bytes;
	record->cancelled_write_bytes += signal->ioac.cancelled_write_bytes;
}

SEC("iter/task")
int write_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct task_struct *leader, *parent;
	struct signal_struct *signal;
	struct linnix_task record = {};
	struct files_struct *files;
	struct mm_struct *mm;

	if (!task)
		return 0;
	leader = task->group_leader;
	parent = task->real_parent;
	signal = task->signal;
	read_counters(task, &record);
	if (task->pid == task->tgid)
		add_buried(signal, &record);
	record.start_ns = leader->start_boottime;
	record.cgroup_id = task_cgroup_id(task);
	record.pid = task->tgid;
	record.tid = task->pid;
	record.ppid = parent->tgid;
	record.uid = task->cred->uid.val;
	record.gid = task->cred->gid.val;
	record.state = task_state(task);
	record.threads = signal->nr_threads;
	record.flags = task->flags;
	record.oom_score_adj = signal->oom_score_adj;
	record.nice = task->static_prio - DEFAULT_PRIO;
	mm = task->mm;
	if (mm && (task->pid == task->tgid || !leader->mm))
		read_memory(task, mm, &record);
	files = task->files;
	if (files && (task->pid == task->tgid || !leader->files))
		record.open_files = open_files(files);
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), task->comm);
	/* A record that found no room is asked for again. */
	if (!(int)bpf_seq_write(ctx->meta->seq, &record, sizeof(record)))
		reckon(task, ctx->meta->seq_num);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
