/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Charges an interval of waiting to what ran in it.
 *
 * Functions that are not static are looked at by the verifier once, and not at every call.
 */
#ifndef LINNIX_BLAME_CPU_CHARGE_BPF_H
#define LINNIX_BLAME_CPU_CHARGE_BPF_H

#include "blame_cpu_maps.bpf.h"

/* Telling single processes may take 1/32 of a CPU's time: looking at a slice and moving a pair are taken for so much. */
#define CREDIT_SHIFT 5
#define CREDIT_MAX_NS 4000000
#define VISIT_NS 20
#define MOVE_NS 150
#define WHOLE 1024

static __always_inline void spend(struct blame_cpu *lane, __u64 ns)
{
	lane->credit -= lane->credit < ns ? lane->credit : ns;
}

/* A pair gives up its place near the CPU. */
static __noinline int put_away(struct blame_pair *pair, struct blame_cpu *lane, __u32 buffer)
{
	struct blame_sum *sum =
		buffer ? bpf_map_lookup_elem(&pairs_1, &pair->key) : bpf_map_lookup_elem(&pairs_0, &pair->key);
	struct blame_control *common;
	long failed = 1;
	__u32 zero = 0;

	spend(lane, MOVE_NS);
	if (sum) { /* atomic: another CPU may put the same pair away */
		add_up(&sum->task_ns, pair->sum.task_ns);
		add_up(&sum->stall_ns, pair->sum.stall_ns);
		return 0;
	}
	common = bpf_map_lookup_elem(&control, &zero);
	if (!common)
		return 0;
	if (pair->key.what & BLAME_CGROUP || common->nr_pairs[buffer & 1] < PAIRS_OF_CROWDS)
		failed = buffer ? bpf_map_update_elem(&pairs_1, &pair->key, &pair->sum, BPF_NOEXIST)
				: bpf_map_update_elem(&pairs_0, &pair->key, &pair->sum, BPF_NOEXIST);
	if (failed)
		lane->untold_ns += pair->sum.task_ns;
	else
		add_up(&common->nr_pairs[buffer & 1], 1);
	return 0;
}

static __always_inline void add(const struct charge *charge, struct blame_near *near, struct blame_cpu *lane,
				const struct slice *who, __u64 ns)
{
	__u32 salt = charge->salt * 0x9e3779b1 ^ who->salt;
	__u32 place = charge->victim * 31 + who->pid * 7 + charge->what;
	struct blame_pair *pair = &near->pairs[place & (BLAME_NEAR - 1)];

	if (pair->key.victim != charge->victim || pair->key.offender != who->pid || pair->key.salt != salt ||
	    pair->key.cpu != charge->cpu || pair->key.what != charge->what) {
		if (pair->sum.stall_ns | pair->sum.task_ns)
			put_away(pair, lane, charge->buffer);
		pair->key.victim = charge->victim;
		pair->key.offender = who->pid;
		pair->key.salt = salt;
		pair->key.cpu = charge->cpu;
		pair->key.what = charge->what;
		pair->sum.task_ns = 0;
		pair->sum.stall_ns = 0;
		pair->sum.victim_start_ns = charge->victim_start_ns;
		pair->sum.victim_cgroup = charge->victim_cgroup;
		pair->sum.offender_start_ns = who->start_ns;
		pair->sum.offender_cgroup = who->cgroup;
	}
	if (charge->is_task)
		pair->sum.task_ns += ns;
	if (charge->is_stall)
		pair->sum.stall_ns += ns;
}

/* Before 6.4 a key must not be in the memory that a function which is not static is given: hence the copies. */
static __always_inline struct blame_cpu *lane_of(const struct charge *charge)
{
	__u32 index = charge->lane;

	return bpf_map_lookup_elem(&cpus, &index);
}

static __always_inline struct slices *slices_of(const struct charge *charge)
{
	__u32 index = charge->lane;

	return bpf_map_lookup_elem(&ran, &index);
}

static __always_inline struct work *work_of(const struct charge *charge)
{
	__u32 index = charge->lane;

	return bpf_map_lookup_elem(&works, &index);
}

static __always_inline struct blame_near *near_of(const struct charge *charge)
{
	__u32 index = charge->lane * 2 + charge->buffer;

	return bpf_map_lookup_elem(&near, &index);
}

/* Charge what ran last. */
static __noinline int charge_last(struct charge *charge, __u64 ns)
{
	struct slices *slices = slices_of(charge);
	struct blame_near *near = near_of(charge);
	struct blame_cpu *lane = lane_of(charge);

	if (lane && slices && near)
		add(charge, near, lane, &slices->at[lane->head & (SLICES - 1)], ns);
	return 0;
}

/* One charge on its way back through what ran. */
struct walk {
	const struct charge *charge;
	struct blame_cpu *lane;
	struct blame_near *near;
	struct slices *slices;
	__u64 to;
	__u32 at;
};

static __always_inline void add_part(struct walk *walk, const struct slice *who, __u64 begin, __u64 end)
{
	const struct charge *charge = walk->charge;
	__u64 first = begin > charge->from ? begin : charge->from;
	__u64 last = end < walk->to ? end : walk->to;

	if (last > first)
		add(charge, walk->near, walk->lane, who,
		    charge->part == WHOLE ? last - first : (last - first) * charge->part / WHOLE);
	if (begin < walk->to)
		walk->to = begin;
}

/* 1: all is charged, or there is no more credit. */
static long visit_slice(__u32 index, struct walk *walk)
{
	struct slice *slice = &walk->slices->at[walk->at & (SLICES - 1)];
	__u64 begin = walk->slices->at[(walk->at - 1) & (SLICES - 1)].end;

	(void)index;
	add_part(walk, slice, begin, slice->end);
	walk->at--;
	spend(walk->lane, VISIT_NS);
	return begin <= walk->charge->from || !walk->lane->credit;
}

static long visit_crowd(__u32 index, struct walk *walk)
{
	struct crowd *crowd = &walk->slices->crowds[walk->at & (CROWDS - 1)];
	__u64 begin = walk->slices->crowds[(walk->at - 1) & (CROWDS - 1)].end;
	struct slice who = {.cgroup = crowd->cgroup, .salt = crowd->cgroup, .pid = crowd->cgroup ? BLAME_CROWD : 0};

	(void)index;
	add_part(walk, &who, begin, crowd->end);
	walk->at--;
	return begin <= walk->charge->from;
}

/* Charge the time from `from` to `to` to what ran then, or `part` of WHOLE of it. Where single processes would cost too
 * much, time or room, it is the crowd of a control group that ran. */
__noinline int charge_runners(struct charge *charge, __u64 from, __u64 to, __u32 part)
{
	struct walk walk = {.charge = charge, .to = to};
	struct blame_control *common;
	__u32 zero = 0;

	if (!charge)
		return 0;
	walk.lane = lane_of(charge);
	walk.slices = slices_of(charge);
	walk.near = near_of(charge);
	if (!walk.lane || !walk.slices || !walk.near)
		return 0;
	charge->from = from;
	charge->part = part;
	walk.at = walk.lane->head;
	if (!visit_slice(0, &walk)) {
		common = bpf_map_lookup_elem(&control, &zero);
		if (common && common->nr_pairs[charge->buffer & 1] < PAIRS_OF_PROCESSES)
			bpf_loop(SLICES - 2, visit_slice, &walk, 0);
	}
	if (walk.to <= from)
		return 0;
	walk.at = walk.lane->crowd;
	bpf_loop(CROWDS - 1, visit_crowd, &walk, 0);
	if (walk.to > from && charge->is_task)
		walk.lane->forgotten_ns += walk.to - from;
	return 0;
}

__noinline int charge_quota(struct charge *charge, __u64 from, __u64 to, __u32 part)
{
	struct blame_cpu *lane;
	struct blame_near *near;
	struct work *work;

	if (!charge)
		return 0;
	lane = lane_of(charge);
	work = work_of(charge);
	near = near_of(charge);
	if (!lane || !near || !work)
		return 0;
	charge->what |= BLAME_QUOTA;
	add(charge, near, lane, &work->self, part == WHOLE ? to - from : (to - from) * part / WHOLE);
	charge->what &= ~BLAME_QUOTA;
	return 0;
}

/* The same, but what the waiter's own quota took is charged to that. */
__noinline int charge_span(struct charge *charge, __u64 from, __u64 to, __u32 part)
{
	struct work *work = NULL;

	if (!charge)
		return 0;
	if (charge->is_throttled)
		work = work_of(charge);
	for (int i = 0; i < THROTTLES + 2 && work; i++) {
		__u64 begin = work->throttles[i].begin, end = work->throttles[i].end;

		if (begin < from)
			begin = from;
		if (end > to)
			end = to;
		if (begin >= end)
			continue;
		if (to > end)
			charge_runners(charge, end, to, part);
		charge_quota(charge, begin, end, part);
		to = begin;
	}
	if (to > from)
		charge_runners(charge, from, to, part);
	return 0;
}

#endif
