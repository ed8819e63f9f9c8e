/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * How long the idle task has been on each CPU. The kernel's idle time is less: interrupts that come meanwhile, the way
 * into idleness and the way out of it are not in it (kernel/time/tick-sched.c, tick_nohz_stop_idle), and no task has run
 * either. Without this, that time would be nobody's.
 */
#ifndef LINNIX_IDLE_BPF_H
#define LINNIX_IDLE_BPF_H

#include "linnix_core.bpf.h"
#include "event.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, LINNIX_MAX_CPUS);
	__type(key, __u32);
	__type(value, struct linnix_idle);
} idlers SEC(".maps");

/* Time in interrupts on this CPU so far, where the kernel takes it from the task that they hit. */
static __always_inline __u64 irq_ns(struct task_struct *task)
{
	if (!field_exists(struct rq, prev_irq_time) || !field_exists(struct cfs_rq, rq))
		return 0;
	return ((struct task_struct *)stay_here(task))->se.cfs_rq->rq->prev_irq_time;
}

/* At every switch. A CPU writes only what is its own. */
static __always_inline void note_idle(struct task_struct *prev, struct task_struct *next)
{
	__u32 cpu;
	struct linnix_idle *mine;

	if (prev->pid && next->pid)
		return;
	cpu = bpf_get_smp_processor_id();
	mine = bpf_map_lookup_elem(&idlers, &cpu);
	if (!mine)
		return;
	if (!prev->pid && mine->since_ns) {
		mine->total_ns += bpf_ktime_get_ns() - mine->since_ns;
		mine->irq_ns += irq_ns(next) - mine->irq_since_ns;
	}
	mine->since_ns = next->pid ? 0 : bpf_ktime_get_ns();
	mine->irq_since_ns = irq_ns(prev);
}

#endif
