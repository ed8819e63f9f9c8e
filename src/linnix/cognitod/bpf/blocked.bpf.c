// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The threads in uninterruptible sleep, written as binary records into the task iterator's file. Nothing is attached:
 * it costs one walk over the tasks whenever it is read.
 */
#include "linnix_core.bpf.h"
#include "task.bpf.h"
#include "sights.h"

/* include/linux/sched.h */
#define TASK_UNINTERRUPTIBLE 0x2
#define TASK_NOLOAD 0x400
#define TASK_FROZEN 0x8000

SEC("iter/task")
int write_blocked(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct linnix_blocked record = {};
	__u32 state;

	if (!task)
		return 0;
	state = task_state(task);
	/* TASK_NOLOAD: a kernel thread that idles */
	if (!(state & TASK_UNINTERRUPTIBLE) || state & (TASK_NOLOAD | TASK_FROZEN))
		return 0;
	record.start_ns = task->group_leader->start_boottime;
	record.switches = task->nvcsw + task->nivcsw;
	record.cgroup_id = task_cgroup_id(task);
	record.pid = task->tgid;
	record.tid = task->pid;
	bpf_probe_read_kernel_str(record.comm, sizeof(record.comm), task->comm);
	bpf_seq_write(ctx->meta->seq, &record, sizeof(record));
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
