/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Charges the time in which at least one of a group waited on a CPU: PSI's "some" there (kernel/sched/psi.c,
 * PSI_CPU_SOME: more are runnable than run).
 *
 * Waits are charged in the order of their ends. So what is new of a wait is what the waits before it left uncovered,
 * and those that it swallows need not be remembered.
 */
#ifndef LINNIX_BLAME_CPU_UNION_BPF_H
#define LINNIX_BLAME_CPU_UNION_BPF_H

#include "blame_cpu_charge.bpf.h"

#define MOMENT_NS 50000
/* The longest that two spans may become. */
#define SPAN_NS 1000000000ull

/* Remember a span newer than all others. Two become one where they are of the same moment, and the oldest two where
 * there is no room: how much of it was covered stays exact, where it was does not. */
static __always_inline void push_span(struct cover *cover, __u64 begin, __u64 end, __u64 covered)
{
	struct span *span = &cover->spans[cover->top & (COVERS - 1)];

	if (cover->count && end - span->begin < MOMENT_NS) {
		span->end = end;
		span->covered += covered;
		return;
	}
	if (cover->count >= COVERS) { /* a full ring: the oldest comes after the newest */
		struct span *oldest = &cover->spans[(cover->top + 1) & (COVERS - 1)];

		span = &cover->spans[(cover->top + 2) & (COVERS - 1)];
		if (span->end - oldest->begin < SPAN_NS) {
			span->covered += oldest->covered;
			span->begin = oldest->begin;
		}
		cover->count = COVERS - 1;
	}
	cover->top++;
	cover->count++;
	span = &cover->spans[cover->top & (COVERS - 1)];
	span->begin = begin;
	span->end = end;
	span->covered = covered;
}

/* Charge what of [from, to] nobody of the group was charged for yet. `to` is not before any end that came earlier. */
__noinline int charge_union(struct charge *charge, struct cover *cover, __u64 from, __u64 to)
{
	__u64 open = to, begin = from, covered = to - from;

	if (!charge || !cover)
		return 0;
	if (charge->is_short && (!cover->count || cover->spans[cover->top & (COVERS - 1)].end < from)) {
		charge_last(charge, to - from);
		push_span(cover, from, to, to - from);
		return 0;
	}
	for (int i = 0; i < COVERS && cover->count; i++) {
		struct span *span = &cover->spans[cover->top & (COVERS - 1)];
		__u64 length = span->end - span->begin;

		if (span->end < from)
			break;
		if (open > span->end)
			charge_span(charge, span->end, open, WHOLE);
		open = span->begin > from ? span->begin : from;
		if (span->covered < length && open < span->end)
			charge_span(charge, open, span->end, (length - span->covered) * WHOLE / length);
		cover->top--;
		cover->count--;
		if (span->begin > from)
			continue;
		begin = span->begin;
		covered += length && span->covered < length ? span->covered * (from - begin) / length : from - begin;
		break;
	}
	if (open > from)
		charge_span(charge, from, open, WHOLE);
	push_span(cover, begin, to, covered);
	return 0;
}

/* The control group at `slot` and all above it. */
__noinline int charge_groups(struct charge *charge, __u32 slot, __u64 from, __u64 to)
{
	struct blame_cpu *lane;

	if (!charge)
		return 0;
	lane = lane_of(charge);
	if (!lane)
		return 0;
	for (int level = 0; level < LEVELS && slot && slot < BLAME_SLOTS; level++) {
		__u32 index = charge->lane * BLAME_SLOTS + slot;
		struct cover *cover = bpf_map_lookup_elem(&group_covers, &index);

		if (!cover)
			break;
		if (cover->epoch != lane->epoch) {
			struct blame_slot *group = bpf_map_lookup_elem(&slots, &slot);

			if (!group)
				break;
			cover->epoch = lane->epoch;
			cover->cgroup = group->cgroup;
			cover->parent = group->parent;
			cover->top = 0;
			cover->count = 0;
		}
		charge->victim = slot;
		charge->victim_cgroup = cover->cgroup;
		charge_union(charge, cover, from, to);
		slot = cover->parent;
	}
	return 0;
}

/* A process of several threads. */
__noinline int charge_process(struct charge *charge, __u64 from, __u64 to)
{
	struct process_cpu key = {};
	struct blame_cpu *lane;
	struct cover *cover;

	if (!charge)
		return 0;
	lane = lane_of(charge);
	if (!lane)
		return 0;
	key.pid = charge->victim;
	key.cpu = charge->lane;
	cover = bpf_map_lookup_elem(&process_covers, &key);
	if (!cover) {
		__u32 root = 0;
		void *empty = bpf_map_lookup_elem(&group_covers, &root); /* no group has slot 0 */

		if (empty)
			bpf_map_update_elem(&process_covers, &key, empty, BPF_NOEXIST);
		cover = bpf_map_lookup_elem(&process_covers, &key);
	}
	if (!cover) /* no room: as if it had one thread */
		return charge_span(charge, from, to, WHOLE);
	if (cover->epoch != lane->epoch) {
		cover->epoch = lane->epoch;
		cover->top = 0;
		cover->count = 0;
	}
	return charge_union(charge, cover, from, to);
}

#endif
