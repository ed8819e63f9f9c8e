/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Who may write into a ring that is filling up.
 *
 * Below a quarter everybody may, and nothing is counted. Above it a group may hold as much of the ring as is still free:
 * a single flooder stops at three eighths and leaves as much to all others; several share likewise. What it attempts
 * beyond is counted by group and kind, and costs neither the ring nor the reader anything.
 *
 * A group is a cgroup and a user. Since one user may have many cgroups, and one cgroup many users, all that a cgroup or
 * a user holds together may be twice what is free. Root is many services, and is told apart by cgroup alone. The ids
 * of a user namespace count as the user that made the namespace.
 *
 * What a group holds is what it wrote since the reader last moved, because the reader always takes all there is.
 */
#ifndef LINNIX_FLOOD_BPF_H
#define LINNIX_FLOOD_BPF_H

#include "books.bpf.h"
#include "task.bpf.h"

#define EVERYBODY (~0U) /* no user has this id: it says that there is none */
#define ANYWHERE 0ULL
/* The kernel's own limit on nesting (kernel/user_namespace.c, create_user_ns). */
#define MAX_NESTED 33

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct linnix_flood_key);
	__type(value, struct linnix_flood);
} floods SEC(".maps");

/* The user who answers for a task. */
static __always_inline __u32 answerable_uid(const struct cred *cred)
{
	struct user_namespace *ns = cred->user_ns;

	if (!ns->level)
		return cred->uid.val;
	for (int i = 0; i < MAX_NESTED && ns->level > 1; i++)
		ns = ns->parent;
	return ns->owner.val;
}

/* What the group of this key holds of the ring; NULL only where the map has no memory for it. */
static __always_inline struct linnix_flood *holding(const struct linnix_flood_key *key, __u64 drained)
{
	struct linnix_flood *group = bpf_map_lookup_elem(&floods, key);
	struct linnix_flood nothing = {.drained = drained};

	if (!group) {
		bpf_map_update_elem(&floods, key, &nothing, BPF_NOEXIST);
		return bpf_map_lookup_elem(&floods, key);
	}
	if (group->drained != drained) {
		group->drained = drained;
		group->used = 0;
	}
	return group;
}

static __always_inline bool count_flood(struct linnix_flood *group, __u32 kind)
{
	struct linnix_books *mine = my_books();

	count(&group->lost[kind]);
	if (mine)
		count(&mine->flood[kind]);
	return false;
}

/* May this task put `bytes` into the ring? If not, its loss has been counted. */
static __always_inline bool admit(void *ring, __u32 number, __u32 kind, __u64 bytes, struct task_struct *task)
{
	__u64 waiting = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);
	__u64 size = bpf_ringbuf_query(ring, BPF_RB_RING_SIZE);
	struct linnix_flood *group, *user = NULL, *place;
	struct linnix_flood_key key = {.ring = number};
	__u64 drained, room;

	if (waiting < size / 4)
		return true;
	drained = bpf_ringbuf_query(ring, BPF_RB_CONS_POS);
	room = waiting < size ? size - waiting : 0;
	key.cgroup_id = task_cgroup_id(task);
	key.uid = answerable_uid(task->cred);
	group = holding(&key, drained);
	if (!group)
		return true;
	if (group->used + bytes > room)
		return count_flood(group, kind);
	if (key.uid) {
		struct linnix_flood_key all = {.cgroup_id = ANYWHERE, .uid = key.uid, .ring = number};

		user = holding(&all, drained);
		if (user && user->used + bytes > 2 * room)
			return count_flood(group, kind);
	}
	key.uid = EVERYBODY;
	place = holding(&key, drained);
	if (place && place->used + bytes > 2 * room)
		return count_flood(group, kind);
	add(&group->used, bytes);
	if (user)
		add(&user->used, bytes);
	if (place)
		add(&place->used, bytes);
	return true;
}

#endif
