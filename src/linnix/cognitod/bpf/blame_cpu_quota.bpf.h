/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * When a wait was not for a neighbour but for the own quota (kernel/sched/fair.c, throttle_cfs_rq(), tg_unthrottle_up()).
 *
 * A queue is throttled while one of its tasks is switched away, which we see; it is let go by a timer, which we do not:
 * but from the total that the kernel then adds to, and the begin, follows the end.
 */
#ifndef LINNIX_BLAME_CPU_QUOTA_BPF_H
#define LINNIX_BLAME_CPU_QUOTA_BPF_H

#include "sched.bpf.h"
#include "blame_cpu_charge.bpf.h"

static __always_inline struct quota *quota_of(struct cfs_rq *queue, __u64 epoch)
{
	struct quota fresh = {.epoch = epoch};
	__u64 key = (__u64)queue;
	struct quota *found = bpf_map_lookup_elem(&quotas, &key);

	if (!found) {
		bpf_map_update_elem(&quotas, &key, &fresh, BPF_NOEXIST);
		return bpf_map_lookup_elem(&quotas, &key);
	}
	if (found->epoch != epoch)
		*found = fresh;
	return found;
}

/* Take notice of the end of a throttled time, and of the begin of one. */
static __always_inline void look_at_quota(struct quota *quota, struct cfs_rq *queue, __u64 now)
{
	__u64 total = throttled_total(queue);

	if (quota->since && quota->total != total) {
		struct throttle *last;

		quota->top++;
		last = &quota->last[quota->top & (THROTTLES - 1)];
		last->begin = quota->since;
		last->end = quota->since + (total - quota->total);
		quota->since = 0;
	}
	if (!quota->since)
		quota->since = throttled_since(queue, now);
	quota->total = total;
}

/* `prev` leaves the CPU. */
static __noinline int look_at_leaver(struct task_struct *prev, __u64 epoch, __u64 now)
{
	struct quota *quota = quota_of(prev->se.cfs_rq, epoch);

	if (quota)
		look_at_quota(quota, prev->se.cfs_rq, now);
	return 0;
}

/* Fill in works[lane], for a wait that began at `from`. */
static __noinline int find_throttles(struct charge *charge, struct task_struct *task, struct note *note, __u64 from,
				     __u64 now)
{
	struct cfs_rq *queue = task->se.cfs_rq;
	struct work *work = work_of(charge);
	struct quota *quota = quota_of(queue, note->epoch);
	__u64 known = 0, total = note->queue == (__u64)queue ? throttled_total(queue) - note->throttled : 0;

	if (!quota || !work)
		return 0;
	work->self.pid = note->pid;
	work->self.salt = note->salt;
	work->self.start_ns = note->start_ns;
	work->self.cgroup = note->cgroup;
	look_at_quota(quota, queue, now);
	work->throttles[0].begin = quota->since;
	work->throttles[0].end = quota->since ? now : 0;
	for (int i = 0; i < THROTTLES; i++) {
		struct throttle *last = &quota->last[(quota->top - i) & (THROTTLES - 1)];

		work->throttles[i + 1] = *last;
		if (last->end > from)
			known += last->end - last->begin;
	}
	/* Throttled where none of its tasks was switched away. Nobody knows when: put where the wait began. */
	work->throttles[THROTTLES + 1].begin = from;
	work->throttles[THROTTLES + 1].end = from + (total > known ? total - known : 0);
	charge->is_throttled = true;
	return 0;
}

#endif
