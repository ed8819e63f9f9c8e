/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Who a task is: its process, its control groups, and what it had waited when it was first seen.
 */
#ifndef LINNIX_BLAME_CPU_NOTE_BPF_H
#define LINNIX_BLAME_CPU_NOTE_BPF_H

#include "sched.bpf.h"
#include "blame_cpu_maps.bpf.h"

/* The slot of a task's control group, made together with those above it. 0: the root, or there is no more room. */
static __noinline __u32 find_slot(struct task_struct *task, struct blame_control *common)
{
	struct cgroup *group = task->cgroups->dfl_cgrp;
	__u64 ids[LEVELS] = {};
	__u32 parent = 0;
	__u32 *found;
	__u64 id;

	for (int level = 0; level < LEVELS; level++) {
		struct cgroup_subsys_state *above = group->self.parent;

		if (!above)
			break;
		ids[level] = group->kn->id;
		group = above->cgroup;
	}
	for (int level = LEVELS - 1; level >= 0; level--) {
		struct blame_slot made = {};
		__u32 slot;

		id = ids[level];
		if (!id)
			continue;
		found = bpf_map_lookup_elem(&slot_of, &id);
		if (!found) {
			slot = __sync_fetch_and_add(&common->nr_slots, 1) + 1;
			if (slot >= BLAME_SLOTS)
				return 0;
			made.cgroup = id;
			made.parent = parent;
			bpf_map_update_elem(&slots, &slot, &made, 0);
			bpf_map_update_elem(&slot_of, &id, &slot, BPF_NOEXIST); /* another CPU may have been first */
			found = bpf_map_lookup_elem(&slot_of, &id);
			if (!found)
				return 0;
		}
		parent = *found;
	}
	return parent;
}

/* A new epoch. */
static __always_inline void begin_note(struct note *note, struct task_struct *task, struct blame_control *common)
{
	note->epoch = common->epoch;
	note->pid = task->tgid;
	note->start_ns = task->group_leader->start_boottime;
	/* of a task that is older, nobody knows what it had waited by the begin of the epoch */
	note->run_delay = task->start_boottime >= common->begin_boot_ns ? 0 : task->sched_info.run_delay;
	note->queue = (__u64)task->se.cfs_rq;
	note->throttled = throttled_total(task->se.cfs_rq);
	note->set = 0;
	note->queued = 0;
	note->slept = 0;
	note->is_stale = 0;
}

static __noinline int take_note(struct note *note, struct task_struct *task, struct blame_control *common)
{
	if (note->epoch != common->epoch)
		begin_note(note, task, common);
	note->set = (__u64)task->cgroups;
	note->cgroup = task_cgroup_id(task);
	note->salt = (__u32)(note->start_ns >> 10) * 31 + (__u32)note->cgroup;
	note->slot = find_slot(task, common);
	return 0;
}

/* What is known of a task, brought up to date; NULL when there is no memory for it. */
static __always_inline struct note *note_of(struct task_struct *task, struct blame_control *common)
{
	struct note *note = bpf_task_storage_get(&notes, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (note && (note->epoch != common->epoch || note->set != (__u64)task->cgroups))
		take_note(note, task, common);
	return note;
}

static __always_inline bool has_threads(struct task_struct *task)
{
	return task->signal->nr_threads > 1;
}

#endif
