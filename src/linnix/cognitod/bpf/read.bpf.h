/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * For programs whose pointers are mere numbers to the verifier (raw_tp, bpf_get_current_task): every step is a copy, and
 * bpf_probe_read_kernel() leaves zero where there is nothing to copy.
 */
#ifndef LINNIX_READ_BPF_H
#define LINNIX_READ_BPF_H

#include "linnix_core.bpf.h"

/* The member of a struct behind an unchecked pointer. */
#define peek(pointer, member)                                                                                          \
	({                                                                                                             \
		typeof((pointer)->member) peeked;                                                                      \
		bpf_probe_read_kernel((void *)&peeked, sizeof(peeked), &(pointer)->member);                            \
		peeked;                                                                                                \
	})

static __always_inline __u64 peek_cgroup_id(struct task_struct *task)
{
	struct css_set *set = peek(task, cgroups);
	struct cgroup *group = peek(set, dfl_cgrp);
	struct kernfs_node *node = peek(group, kn);

	return peek(node, id);
}

static __always_inline __u64 peek_start_ns(struct task_struct *task)
{
	struct task_struct *leader = peek(task, group_leader);

	return peek(leader, start_boottime);
}

#endif
