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
static __always_inline __u64 irq_ns(struct rq *rq)
{
	return field_exists(struct rq, prev_irq_time) ? ((struct rq *)stay_here(rq))->prev_irq_time : 0;
}

/* At every switch. By the clock of the run queue, whose reading the scheduler has just ended the one's run time with and
 * begun the other's: often it is that of the wake-up, and the way out of idleness is the next task's. So the idle task
 * has what no other has, and nothing twice. What no program was run for, because the kernel hides the task that was left,
 * is missing. A CPU writes only what is its own. */
static __always_inline void note_idle(struct task_struct *prev, struct task_struct *next)
{
	struct linnix_idle *mine;
	struct rq *rq;
	__u64 clock;
	__u32 cpu;

	if (prev->pid && next->pid)
		return;
	cpu = bpf_get_smp_processor_id();
	mine = bpf_map_lookup_elem(&idlers, &cpu);
	if (!mine)
		return;
	rq = (prev->pid ? prev : next)->se.cfs_rq->rq;
	clock = rq->clock;
	if (next->pid) {
		if (mine->since_ns && clock > mine->clock_ns) {
			mine->total_ns += clock - mine->clock_ns;
			mine->irq_ns += irq_ns(rq) - mine->irq_since_ns;
		}
		mine->since_ns = 0;
		return;
	}
	mine->clock_ns = clock;
	mine->irq_since_ns = irq_ns(rq);
	mine->since_ns = bpf_ktime_get_ns();
}

#endif
