/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the living have used in all, gathered on the way of the task iterator. The rest is in the books of the dead
 * (death.bpf.h).
 */
#ifndef LINNIX_CLOCKS_BPF_H
#define LINNIX_CLOCKS_BPF_H

#include "linnix_core.bpf.h"
#include "event.h"
#include "task.bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct linnix_clocks);
} clocks SEC(".maps");

/* Once for each task of a walk; `number` is 0 for the first. */
static __always_inline void reckon(struct task_struct *task, __u64 number)
{
	__u32 zero = 0;
	struct linnix_clocks *all = bpf_map_lookup_elem(&clocks, &zero);

	if (!all)
		return;
	if (!number)
		all->living_run_ns = all->read_bytes = all->write_bytes = 0;
	if (!has_exited(task)) {
		all->living_run_ns += task->se.sum_exec_runtime;
		all->read_bytes += task_read_bytes(task);
		all->write_bytes += task_write_bytes(task);
	}
	if (field_exists(struct rq, prev_irq_time) && field_exists(struct cfs_rq, rq))
		all->irq_ns |= ((struct task_struct *)stay_here(task))->se.cfs_rq->rq->prev_irq_time;
}

#endif
