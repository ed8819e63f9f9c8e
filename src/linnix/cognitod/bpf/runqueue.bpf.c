// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * How long tasks waited for a CPU, by cgroup.
 *
 * One program at the switch, and no stamp of ours: the scheduler notes in sched_info.last_queued when a task became
 * runnable, on the clock of the run queue, and clears it in sched_info_arrive(), which __schedule() calls after the
 * tracepoint (kernel/sched/core.c context_switch(), kernel/sched/stats.h). Waits before a migration are the
 * scheduler's too: it adds them to run_delay and stamps anew, so here they are separate waits.
 */
#include "linnix_core.bpf.h"
#include "idle.bpf.h"
#include "task.bpf.h"
#include "latency.bpf.h"

SEC("tp_btf/sched_switch")
int handle_switch(__u64 *ctx)
{
	struct task_struct *next = (void *)ctx[2];
	__u64 queued = next->sched_info.last_queued;
	__s64 waited;

	note_idle((void *)ctx[1], next);
	if (!next->pid || !queued) /* the idle task waits for nobody */
		return 0;
	waited = next->se.cfs_rq->rq->clock - queued;
	if (waited >= 0)
		count_latency(task_cgroup_id(next), waited);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
