// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Who ran while whom waited for a CPU.
 *
 * A wait is known when it ends: at the switch to the task, or when it is taken to another CPU. Where it began the
 * scheduler tells itself, in sched_info, on the run queue's clock: so the sum of our waits is run_delay to the nanosecond,
 * and no wake-up needs a program. What ran meanwhile is in a ring of slices per CPU, without gaps: the idle task is a
 * runner as well.
 *
 * Two measures. `task_ns` adds waits up. `stall_ns` is the time in which at least one of a group waited on this CPU: as
 * waits come in the order of their ends, each is charged only for what earlier ones did not cover (struct cover). That is
 * PSI's "some" of one CPU (kernel/sched/psi.c, PSI_CPU_SOME); user space averages over CPUs as PSI does.
 *
 * All programs run under the lock of the run queue whose data they touch, which is why there are no atomics here.
 */
#include "sched.bpf.h"
#include "blame_cpu.h"

#define SLICES 512
#define LEVELS 8
#define COVERS 8
/* Slices are remembered as one interval with holes only as long as this. */
#define COVER_SPAN_NS 1000000000ull
#define CROWDS 256
/* Pairs of processes that a buffer may hold before only crowds are told; the rest is for them. */
#define PAIRS 32768
#define PAIRS_OF_PROCESSES (PAIRS / 4 * 3)
/* Telling single processes may take 1/32 of a CPU's time: looking at a slice and moving a pair are taken for so much. */
#define CREDIT_SHIFT 5
#define CREDIT_MAX_NS 4000000
#define VISIT_NS 20
#define MOVE_NS 150
#define WHOLE 1024
/* Throttled times that are remembered of a queue. */
#define THROTTLES 4

struct slice {
	__u64 end; /* it began when the one before ended */
	__u64 start_ns;
	__u64 cgroup;
	__u32 pid;
	__u32 salt;
};

/* The same, of a whole control group. */
struct crowd {
	__u64 end;
	__u64 cgroup;
};

struct slices {
	struct slice at[SLICES];
	struct crowd crowds[CROWDS];
};

/* What is known of a thread. */
struct note {
	__u64 epoch;
	__u64 start_ns;
	__u64 cgroup;
	__u64 run_delay; /* sched_info.run_delay after its last wait that was charged */
	__u64 queued;	 /* began to wait unknown to sched_info, else 0 */
	__u64 queue;	 /* the cfs_rq it was last switched to from, and throttled_total() of that then */
	__u64 throttled;
	__u64 slept; /* began to sleep in iowait, else 0 */
	__u32 pid;
	__u32 salt;
	__u32 slot;
	__u16 slept_cpu;
	__u16 is_stale; /* last_queued will be of a sleep */
};

/* Disjoint intervals in which somebody waited, the newest at `top`. When there are too many, the oldest two become one
 * of which only `covered` was waited. */
struct span {
	__u64 begin;
	__u64 end;
	__u64 covered;
};

struct cover {
	__u64 epoch;
	__u64 cgroup;
	__u32 parent;
	__u16 top;
	__u16 count;
	struct span spans[COVERS];
};

struct throttle {
	__u64 begin;
	__u64 end;
};

/* When a queue was kept from running by its quota or one above it. It is `since` while it is. */
struct quota {
	__u64 epoch;
	__u64 since;
	__u64 total; /* throttled_total() then */
	__u32 top;
	__u32 pad;
	struct throttle last[THROTTLES];
};

struct process_cpu {
	__u32 pid;
	__u32 cpu;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct blame_control);
} control SEC(".maps");

/* By CPU; user space sets how many there are. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct blame_cpu);
} cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct slices);
} ran SEC(".maps");

/* By CPU and buffer: cpu * 2 + buffer. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct blame_near);
} near SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PAIRS);
	__type(key, struct blame_key);
	__type(value, struct blame_sum);
} pairs_0 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PAIRS);
	__type(key, struct blame_key);
	__type(value, struct blame_sum);
} pairs_1 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct note);
} notes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BLAME_SLOTS);
	__type(key, __u64);
	__type(value, __u32);
} slot_of SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BLAME_SLOTS);
	__type(key, __u32);
	__type(value, struct blame_slot);
} slots SEC(".maps");

/* By CPU and slot: cpu * BLAME_SLOTS + slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BLAME_SLOTS);
	__type(key, __u32);
	__type(value, struct cover);
} group_covers SEC(".maps");

/* Of processes with more than one thread. Those that are gone make room; one that is evicted alive, among thousands, is
 * charged again for what its threads waited at the same time before. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct process_cpu);
	__type(value, struct cover);
} process_covers SEC(".maps");

/* By the address of a cfs_rq, of those that were throttled. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 2048);
	__type(key, __u64);
	__type(value, struct quota);
} quotas SEC(".maps");

/* Who waited, and what is to be added where. */
struct charge {
	__u64 victim_start_ns;
	__u64 victim_cgroup;
	__u32 victim;
	__u32 salt;
	__u32 lane; /* the CPU that was waited for */
	__u32 buffer;
	__u16 cpu; /* the same, or BLAME_ANY_CPU */
	__u8 what;
	__u8 is_task;  /* adds to task_ns */
	__u8 is_stall; /* adds to stall_ns */
	__u8 is_throttled;
	/* The waiter itself, and when its own quota kept it from running, the newest first: now, before, and unseen. */
	struct slice self;
	struct throttle throttles[THROTTLES + 2];
};

static __always_inline void spend(struct blame_cpu *lane, __u64 ns)
{
	lane->credit -= lane->credit < ns ? lane->credit : ns;
}

/* A pair gives up its place near the CPU. */
static __always_inline void put_away(struct blame_pair *pair, struct blame_cpu *lane, __u32 buffer)
{
	struct blame_sum *sum =
		buffer ? bpf_map_lookup_elem(&pairs_1, &pair->key) : bpf_map_lookup_elem(&pairs_0, &pair->key);
	struct blame_control *common;
	__u32 zero = 0;
	long failed;

	spend(lane, MOVE_NS);
	if (sum) { /* atomic: another CPU may put the same pair away */
		__sync_fetch_and_add(&sum->task_ns, pair->sum.task_ns);
		__sync_fetch_and_add(&sum->stall_ns, pair->sum.stall_ns);
		return;
	}
	failed = buffer ? bpf_map_update_elem(&pairs_1, &pair->key, &pair->sum, BPF_NOEXIST)
			: bpf_map_update_elem(&pairs_0, &pair->key, &pair->sum, BPF_NOEXIST);
	common = bpf_map_lookup_elem(&control, &zero);
	if (failed)
		lane->untold_ns += pair->sum.task_ns;
	else if (common)
		__sync_fetch_and_add(&common->nr_pairs[buffer & 1], 1);
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

static __always_inline struct blame_near *near_of(const struct charge *charge)
{
	__u32 index = charge->lane * 2 + charge->buffer;

	return bpf_map_lookup_elem(&near, &index);
}

/* One charge on its way back through what ran. */
struct walk {
	const struct charge *charge;
	struct blame_cpu *lane;
	struct blame_near *near;
	struct slices *slices;
	__u64 from;
	__u64 to;
	__u32 part;
	__u32 at;
};

static __always_inline void add_part(struct walk *walk, const struct slice *who, __u64 begin, __u64 end)
{
	__u64 first = begin > walk->from ? begin : walk->from;
	__u64 last = end < walk->to ? end : walk->to;

	if (last > first)
		add(walk->charge, walk->near, walk->lane, who,
		    walk->part == WHOLE ? last - first : (last - first) * walk->part / WHOLE);
}

/* 1: all is charged, or there is no more credit. */
static long visit_slice(__u32 index, struct walk *walk)
{
	struct slice *slice = &walk->slices->at[walk->at & (SLICES - 1)];
	__u64 begin = walk->slices->at[(walk->at - 1) & (SLICES - 1)].end;

	(void)index;
	add_part(walk, slice, begin, slice->end);
	if (begin < walk->to)
		walk->to = begin;
	walk->at--;
	spend(walk->lane, VISIT_NS);
	return begin <= walk->from || !walk->lane->credit;
}

static long visit_crowd(__u32 index, struct walk *walk)
{
	struct crowd *crowd = &walk->slices->crowds[walk->at & (CROWDS - 1)];
	__u64 begin = walk->slices->crowds[(walk->at - 1) & (CROWDS - 1)].end;
	struct slice who = {.cgroup = crowd->cgroup, .salt = crowd->cgroup, .pid = crowd->cgroup ? BLAME_CROWD : 0};

	(void)index;
	add_part(walk, &who, begin, crowd->end);
	if (begin < walk->to)
		walk->to = begin;
	walk->at--;
	return begin <= walk->from;
}

/* Charge the time from `from` to `to` to what ran then, or `part` of WHOLE of it. Where single processes would cost too
 * much, time or room, it is the crowd of a control group that ran. Not static, so that the
 * verifier looks at it once and not at every call. */
__noinline int charge_runners(struct charge *charge, __u64 from, __u64 to, __u32 part)
{
	struct walk walk = {.charge = charge, .from = from, .to = to, .part = part};
	struct blame_control *common;
	__u32 zero = 0;

	if (!charge)
		return 0;
	walk.lane = bpf_map_lookup_elem(&cpus, &charge->lane);
	walk.slices = bpf_map_lookup_elem(&ran, &charge->lane);
	walk.near = near_of(charge);
	if (!walk.lane || !walk.slices || !walk.near)
		return 0;
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

	if (!charge)
		return 0;
	lane = bpf_map_lookup_elem(&cpus, &charge->lane);
	near = near_of(charge);
	if (!lane || !near)
		return 0;
	charge->what |= BLAME_QUOTA;
	add(charge, near, lane, &charge->self, part == WHOLE ? to - from : (to - from) * part / WHOLE);
	charge->what &= ~BLAME_QUOTA;
	return 0;
}

/* The same, but what the waiter's own quota took is charged to that. */
__noinline int charge_span(struct charge *charge, __u64 from, __u64 to, __u32 part)
{
	if (!charge)
		return 0;
	for (int i = 0; i < THROTTLES + 2 && charge->is_throttled; i++) {
		__u64 begin = charge->throttles[i].begin, end = charge->throttles[i].end;

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

/* Charge what of [from, to] nobody of the group was charged for yet. `to` is not before any end that came earlier. */
__noinline int charge_union(struct charge *charge, struct cover *cover, __u64 from, __u64 to)
{
	__u64 open = to, begin = from, covered = to - from;
	__u32 top, count;
	struct span *span;

	if (!charge || !cover)
		return 0;
	top = cover->top;
	count = cover->count;
	for (int i = 0; i < COVERS && count; i++) {
		__u64 length;

		span = &cover->spans[top & (COVERS - 1)];
		if (span->end < from)
			break;
		if (open > span->end)
			charge_span(charge, span->end, open, WHOLE);
		length = span->end - span->begin;
		open = span->begin > from ? span->begin : from;
		if (span->covered < length && open < span->end)
			charge_span(charge, open, span->end, (length - span->covered) * WHOLE / length);
		top--;
		count--;
		if (span->begin > from)
			continue;
		begin = span->begin;
		if (span->covered >= length)
			covered = to - begin;
		else if (length)
			covered += span->covered * (from - begin) / length;
		break;
	}
	if (open > from)
		charge_span(charge, from, open, WHOLE);
	if (count >= COVERS) {
		struct span *oldest =
			&cover->spans[(top + 1) & (COVERS - 1)]; /* it is full: the one after the newest */

		span = &cover->spans[(top + 2) & (COVERS - 1)];
		if (span->end - oldest->begin < COVER_SPAN_NS) {
			span->covered += oldest->covered;
			span->begin = oldest->begin;
		}
		count = COVERS - 1;
	}
	top++;
	span = &cover->spans[top & (COVERS - 1)];
	span->begin = begin;
	span->end = to;
	span->covered = covered;
	cover->top = top;
	cover->count = count + 1;
	return 0;
}

/* The control group at `slot` and all above it. */
__noinline int charge_groups(struct charge *charge, __u32 slot, __u64 from, __u64 to)
{
	struct blame_cpu *lane;

	if (!charge)
		return 0;
	lane = bpf_map_lookup_elem(&cpus, &charge->lane);
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

/* The union over the threads of a process. */
__noinline int charge_process(struct charge *charge, __u64 from, __u64 to)
{
	struct process_cpu key = {};
	struct blame_cpu *lane;
	struct cover *cover;

	if (!charge)
		return 0;
	lane = bpf_map_lookup_elem(&cpus, &charge->lane);
	if (!lane)
		return 0;
	key.pid = charge->victim;
	key.cpu = charge->lane;
	cover = bpf_map_lookup_elem(&process_covers, &key);
	if (!cover) {
		__u32 first = 0;
		void *empty = bpf_map_lookup_elem(&group_covers, &first); /* no group has slot 0 */

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

static __always_inline void name_victim(struct charge *charge, const struct note *note)
{
	charge->victim = note->pid;
	charge->salt = note->salt;
	charge->victim_start_ns = note->start_ns;
	charge->victim_cgroup = note->cgroup;
}

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

/* When, in a wait that began at `from`, the queue was throttled. */
static __noinline void find_throttles(struct charge *charge, struct task_struct *task, struct note *note, __u64 from,
				      __u64 now)
{
	struct cfs_rq *queue = task->se.cfs_rq;
	struct quota *quota = quota_of(queue, note->epoch);
	__u64 known = 0, total = note->queue == (__u64)queue ? throttled_total(queue) - note->throttled : 0;
	__u64 unseen;

	charge->self.pid = note->pid;
	charge->self.salt = note->salt;
	charge->self.start_ns = note->start_ns;
	charge->self.cgroup = note->cgroup;
	if (!quota)
		return;
	look_at_quota(quota, queue, now);
	if (quota->since) {
		charge->throttles[0].begin = quota->since;
		charge->throttles[0].end = now;
	}
	for (int i = 0; i < THROTTLES; i++) {
		struct throttle *last = &quota->last[(quota->top - i) & (THROTTLES - 1)];

		if (last->end <= from)
			break;
		charge->throttles[i + 1] = *last;
		known += last->end - last->begin;
	}
	/* Where none of its tasks was switched away at the begin. Nobody knows when it was: put where the wait began. */
	unseen = total > known ? total - known : 0;
	charge->throttles[THROTTLES + 1].begin = from;
	charge->throttles[THROTTLES + 1].end = from + unseen;
	charge->is_throttled = true;
}

/* A wait has ended that began at `from`. */
static __always_inline void charge_wait(struct blame_cpu *lane, __u32 cpu, __u32 buffer, struct task_struct *task,
					struct note *note, bool is_many, __u64 from, __u64 to)
{
	struct charge charge = {
		.lane = cpu, .buffer = buffer, .cpu = BLAME_ANY_CPU, .is_task = true, .is_stall = !is_many};

	lane->waits++;
	lane->waited_ns += to - from;
	name_victim(&charge, note);
	if (is_throttled(task->se.cfs_rq, note->throttled))
		find_throttles(&charge, task, note, from, to);
	charge_span(&charge, from, to, WHOLE);
	charge.is_task = false;
	charge.is_stall = true;
	charge.cpu = cpu;
	if (is_many)
		charge_process(&charge, from, to);
	charge.victim_start_ns = 0;
	charge.salt = 0;
	charge.what = BLAME_CGROUP;
	if (note->slot)
		charge_groups(&charge, note->slot, from, to);
}

/* The slot of a task's control group, made together with those above it. 0: the root, or there is no more room. */
static __noinline __u32 find_slot(struct task_struct *task, struct blame_control *now)
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
			slot = __sync_fetch_and_add(&now->nr_slots, 1) + 1;
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

/* What is known of a task, brought up to date; NULL when there is no memory for it. */
static __always_inline struct note *note_of(struct task_struct *task, struct blame_control *now)
{
	struct note *note = bpf_task_storage_get(&notes, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	__u64 cgroup = task_cgroup_id(task);
	bool is_new;

	if (!note)
		return NULL;
	is_new = note->epoch != now->epoch;
	if (!is_new && note->cgroup == cgroup)
		return note;
	if (is_new) {
		note->epoch = now->epoch;
		note->pid = task->tgid;
		note->start_ns = task->group_leader->start_boottime;
		/* of a task that is older, nobody knows what it had waited by the begin of the epoch */
		note->run_delay = task->start_boottime >= now->begin_boot_ns ? 0 : task->sched_info.run_delay;
		note->queue = (__u64)task->se.cfs_rq;
		note->throttled = throttled_total(task->se.cfs_rq);
		note->queued = 0;
		note->slept = 0;
		note->is_stale = 0;
	}
	note->cgroup = cgroup;
	note->salt = (__u32)(note->start_ns >> 10) * 31 + (__u32)cgroup;
	note->slot = find_slot(task, now);
	return note;
}

static __always_inline bool has_threads(struct task_struct *task)
{
	return task->signal->nr_threads > 1;
}

static __always_inline void end_slice(struct blame_cpu *lane, struct slices *slices, __u64 now)
{
	slices->at[lane->head & (SLICES - 1)].end = now;
	slices->crowds[lane->crowd & (CROWDS - 1)].end = now;
}

/* From now on `task` runs, of whom `note` tells, or nobody. */
static __always_inline void open_slice(struct blame_cpu *lane, struct slices *slices, const struct note *note,
				       bool is_many)
{
	struct slice *slice = &slices->at[lane->head & (SLICES - 1)];
	__u32 pid = note ? note->pid : 0, salt = note ? note->salt : 0;

	__u64 cgroup = note ? note->cgroup : 0;

	lane->slot = note ? note->slot : 0;
	lane->many = is_many ? pid : 0;
	if (slices->crowds[lane->crowd & (CROWDS - 1)].cgroup != cgroup) {
		lane->crowd++;
		slices->crowds[lane->crowd & (CROWDS - 1)].cgroup = cgroup;
	}
	if (slice->pid == pid && slice->salt == salt) /* goes on: the slice just ended is not over */
		return;
	lane->head++;
	slice = &slices->at[lane->head & (SLICES - 1)];
	slice->pid = pid;
	slice->salt = salt;
	slice->start_ns = note ? note->start_ns : 0;
	slice->cgroup = cgroup;
}

/* The first switch of an epoch on this CPU: `task` has run since the epoch began. */
static __always_inline void begin_lane(struct blame_cpu *lane, struct slices *slices, struct blame_control *epoch,
				       struct task_struct *task, __u64 now)
{
	struct note *note = task->pid ? note_of(task, epoch) : NULL;
	__u64 age = bpf_ktime_get_ns() - epoch->begin_mono_ns;
	struct slice *slice;

	lane->epoch = epoch->epoch;
	lane->begin = now - age;
	lane->since = lane->begin;
	lane->credit = 0;
	lane->waits = 0;
	lane->waited_ns = 0;
	lane->forgotten_ns = 0;
	lane->untold_ns = 0;
	lane->unmatched_ns = 0;
	lane->head++;
	slice = &slices->at[lane->head & (SLICES - 1)];
	slice->end = lane->begin; /* what ran before is of no interest: no wait reaches back behind the begin */
	slice->pid = BLAME_CROWD;
	lane->crowd++;
	slices->crowds[lane->crowd & (CROWDS - 1)].end = lane->begin;
	slices->crowds[lane->crowd & (CROWDS - 1)].cgroup = ~0ull;
	open_slice(lane, slices, note, task->pid && has_threads(task));
}

/* Who ran is added up too, for PSI weighs CPUs by the time in which a group was not idle there. */
static __always_inline void tell_run(struct blame_cpu *lane, const struct slice *slice, __u32 cpu, __u32 buffer,
				     __u64 ns)
{
	struct charge charge = {.lane = cpu, .buffer = buffer, .cpu = cpu, .is_stall = true};
	struct blame_near *near = near_of(&charge);
	struct slice nobody = {};

	if (!near)
		return;
	if (lane->slot) {
		charge.victim = lane->slot;
		charge.victim_cgroup = slice->cgroup;
		charge.what = BLAME_CGROUP | BLAME_RAN;
		add(&charge, near, lane, &nobody, ns);
	}
	if (lane->many) {
		charge.victim = lane->many;
		charge.what = BLAME_PROCESS | BLAME_RAN;
		add(&charge, near, lane, &nobody, ns);
	}
}

/* So is who slept in iowait, for the same reason. */
static __always_inline void tell_sleep(struct blame_cpu *lane, const struct note *note, __u32 cpu, __u32 buffer,
				       __u64 ns)
{
	struct charge charge = {.lane = cpu, .buffer = buffer, .is_stall = true, .what = BLAME_CGROUP | BLAME_SLEPT};
	struct blame_near *near = near_of(&charge);
	struct slice nobody = {};

	if (!near || !note->slot)
		return;
	charge.cpu = note->slept_cpu;
	charge.victim = note->slot;
	charge.victim_cgroup = note->cgroup;
	add(&charge, near, lane, &nobody, ns);
}

SEC("tp_btf/sched_switch")
int handle_switch(__u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];
	struct task_struct *next = (void *)ctx[2];
	__u32 cpu = bpf_get_smp_processor_id();
	__u64 now = rq_clock(prev), from;
	struct blame_control *epoch;
	struct blame_cpu *lane;
	struct slices *slices;
	struct note *note;
	__u32 zero = 0;
	bool is_many;

	epoch = bpf_map_lookup_elem(&control, &zero);
	lane = bpf_map_lookup_elem(&cpus, &cpu);
	slices = bpf_map_lookup_elem(&ran, &cpu);
	if (!epoch || !lane || !slices || !epoch->epoch)
		return 0;
	if (lane->epoch != epoch->epoch)
		begin_lane(lane, slices, epoch, prev, now);
	end_slice(lane, slices, now);
	lane->credit += (now - lane->since) >> CREDIT_SHIFT;
	if (lane->credit > CREDIT_MAX_NS)
		lane->credit = CREDIT_MAX_NS;
	if (lane->slot | lane->many)
		tell_run(lane, &slices->at[lane->head & (SLICES - 1)], cpu, epoch->active & 1, now - lane->since);
	lane->since = now;

	if (prev->pid && !is_running_state(prev)) {
		bool is_waiting = is_queued(prev);

		if (is_waiting || read_bits(prev, in_iowait)) {
			note = note_of(prev, epoch);
			if (note && is_waiting) {
				/* preempted on its way to sleep: PSI has it waiting, sched_info has not */
				note->queued = now;
			} else if (note) {
				note->slept = now;
				note->slept_cpu = cpu;
			}
		}
	}
	if (throttled_since(prev->se.cfs_rq, now)) {
		struct quota *quota = quota_of(prev->se.cfs_rq, epoch->epoch);

		if (quota)
			look_at_quota(quota, prev->se.cfs_rq, now);
	}
	if (!next->pid) {
		open_slice(lane, slices, NULL, false);
		return 0;
	}
	note = note_of(next, epoch);
	from = next->sched_info.last_queued;
	is_many = has_threads(next);
	if (!note) {
		if (from)
			lane->unmatched_ns += now - from;
		open_slice(lane, slices, NULL, false);
		return 0;
	}
	if (note->slept) {
		tell_sleep(lane, note, cpu, epoch->active & 1, from > note->slept ? from - note->slept : 0);
		note->slept = 0;
	}
	note->run_delay = next->sched_info.run_delay + (from ? now - from : 0);
	if (!from)
		from = note->queued;
	note->queued = 0;
	if (note->is_stale) {
		note->is_stale = 0;
		from = 0;
	}
	if (from) {
		if (from < lane->begin)
			from = lane->begin;
		if (from < now)
			charge_wait(lane, cpu, epoch->active & 1, next, note, is_many, from, now);
	}
	note->queue = (__u64)next->se.cfs_rq;
	note->throttled = throttled_total(next->se.cfs_rq);
	open_slice(lane, slices, note, is_many);
	return 0;
}

/* A queued task is taken to another CPU. sched_info has just been told (dequeue_task()) and will begin anew there. */
SEC("tp_btf/sched_migrate_task")
int handle_migrate(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct blame_control *epoch;
	struct blame_cpu *lane;
	struct slices *slices;
	struct note *note;
	__u64 now, waited, from;
	__u32 cpu, zero = 0;

	if (task->on_rq != TASK_ON_RQ_MIGRATING)
		return 0;
	epoch = bpf_map_lookup_elem(&control, &zero);
	if (!epoch || !epoch->epoch)
		return 0;
	note = note_of(task, epoch);
	if (!note)
		return 0;
	if (is_delayed(task)) {
		note->is_stale = 1;
		return 0;
	}
	waited = task->sched_info.run_delay - note->run_delay;
	note->run_delay += waited;
	cpu = task->se.cfs_rq->rq->cpu;
	now = rq_clock(task);
	from = waited ? now - waited : note->queued;
	note->queued = 0;
	lane = bpf_map_lookup_elem(&cpus, &cpu);
	slices = bpf_map_lookup_elem(&ran, &cpu);
	if (!from || !lane || !slices || lane->epoch != epoch->epoch)
		return 0;
	if (from < lane->begin)
		from = lane->begin;
	end_slice(lane, slices, now); /* it goes on, and has lasted until now */
	if (from < now)
		charge_wait(lane, cpu, epoch->active & 1, task, note, has_threads(task), from, now);
	return 0;
}

/* At the begin of an epoch: what everybody has waited until now. */
SEC("iter/task")
int note_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct blame_control *epoch;
	__u32 zero = 0;

	epoch = bpf_map_lookup_elem(&control, &zero);
	if (task && epoch)
		note_of(task, epoch);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
