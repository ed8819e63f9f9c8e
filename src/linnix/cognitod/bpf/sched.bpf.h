/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the scheduler knows of a task at its tracepoints, across kernels.
 *
 * All of it is read under the lock of the task's run queue, which sched_switch and the migration of a queued task are
 * traced under (kernel/sched/core.c: __schedule(), move_queued_task(); fair.c: detach_task()).
 */
#ifndef LINNIX_SCHED_BPF_H
#define LINNIX_SCHED_BPF_H

#include "linnix_core.bpf.h"
#include "task.bpf.h"

/* task->on_rq, kernel/sched/sched.h */
#define TASK_ON_RQ_QUEUED 1
#define TASK_ON_RQ_MIGRATING 2

/* The clock in which sched_info counts. __schedule() and whoever dequeues have just updated it. It needs
 * CONFIG_FAIR_GROUP_SCHED, without which an entity does not know its queue. */
static __always_inline __u64 rq_clock(struct task_struct *task)
{
	return task->se.cfs_rq->rq->clock;
}

/* Asleep, but left in the queue to lose its lag there. */
static __always_inline bool is_delayed(struct task_struct *task)
{
	return field_exists(struct sched_entity, sched_delayed) &&
	       ((struct task_struct *)stay_here(task))->se.sched_delayed;
}

/* Off the CPU and in want of it. A task may be so with a state other than running: preempted on its way to sleep. */
static __always_inline bool is_queued(struct task_struct *task)
{
	return task->on_rq == TASK_ON_RQ_QUEUED && !is_delayed(task);
}

/* For how long a queue was throttled in all, by its own quota or one above it, up to the last time that ended. Before 6.6
 * only PELT's clock tells, which is slower than the queue's while the processor is. */
static __always_inline __u64 throttled_total(struct cfs_rq *queue)
{
	if (field_exists(struct cfs_rq, throttled_clock_self_time))
		return ((struct cfs_rq *)stay_here(queue))->throttled_clock_self_time;
	if (field_exists(struct cfs_rq___before_6_6, throttled_clock_pelt_time))
		return ((struct cfs_rq___before_6_6 *)stay_here(queue))->throttled_clock_pelt_time;
	return 0; /* no CONFIG_CFS_BANDWIDTH */
}

/* Since when it is; 0: it is not. Before 6.6 asked when one of its tasks is switched away, which is when it begins. */
static __always_inline __u64 throttled_since(struct cfs_rq *queue, __u64 now)
{
	if (field_exists(struct cfs_rq, throttled_clock_self))
		return ((struct cfs_rq *)stay_here(queue))->throttled_clock_self;
	if (field_exists(struct cfs_rq___before_6_6, throttled_clock_pelt_time))
		return ((struct cfs_rq___before_6_6 *)stay_here(queue))->throttle_count ? now : 0;
	return 0;
}

/* Whether it is, or was since its total was `total`. */
static __always_inline bool is_throttled(struct cfs_rq *queue, __u64 total)
{
	return throttled_total(queue) != total || throttled_since(queue, 1);
}

static __always_inline bool is_running_state(struct task_struct *task)
{
	if (field_exists(struct task_struct___before_5_14, state))
		return !((struct task_struct___before_5_14 *)stay_here(task))->state;
	return !task->__state;
}

#endif
