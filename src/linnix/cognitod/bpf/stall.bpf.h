/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the blame programs for IO and memory share: the ring, the books, and who somebody is.
 *
 * The including source sets STALLS_BYTES, the size of its ring. Nobody is woken: user space comes once a second.
 */
#ifndef LINNIX_STALL_BPF_H
#define LINNIX_STALL_BPF_H

#include "linnix_core.bpf.h"
#include "stall.h"
#include "task.bpf.h"
#include "read.bpf.h"

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */
/* Cgroups nested deeper are told only up to here. */
#define MAX_DEPTH 16

/* A bit-field behind any pointer; as read_bits() in linnix_core.bpf.h, with a copy. */
#define peek_bits(pointer, field)                                                                                      \
	({                                                                                                             \
		const void *at = (const void *)(pointer) + __builtin_preserve_field_info((pointer)->field, 0);         \
		__u32 size = __builtin_preserve_field_info((pointer)->field, 1);                                       \
		__u64 bits = 0;                                                                                        \
		bpf_probe_read_kernel((void *)&bits + LEADING_BYTES(size), size, at);                                  \
		bits <<= __builtin_preserve_field_info((pointer)->field, 4);                                           \
		bits >> __builtin_preserve_field_info((pointer)->field, 5);                                            \
	})
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LEADING_BYTES(size) 0
#else
#define LEADING_BYTES(size) (8 - (size))
#endif

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, STALLS_BYTES);
} stalls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct linnix_stall_books);
} books SEC(".maps");

/* Waits that have not ended, by thread: the record as it will be sent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct linnix_stall);
} open_waits SEC(".maps");

/* Cgroups whose parent was told in this epoch. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, __u64);
} told_cgroups SEC(".maps");

/* PSI averages over CPUs by how long each was not idle for a cgroup, so how long its tasks ran there or wanted to is told
 * too, by leaf. What the CPU's present task adds, and what was added since another cgroup had the CPU, is in `running`. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct linnix_ran);
} ran SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct linnix_running);
} running SEC(".maps");

static __always_inline struct linnix_stall_books *my_books(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&books, &zero);
}

/* The current process, in the fields of a record that say who. Not for interrupts: there it is whoever was there. */
static __always_inline void name_current(struct linnix_stall *record)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 ids = bpf_get_current_pid_tgid();

	record->start_ns = peek_start_ns(task);
	record->cgroup_id = peek_cgroup_id(task);
	record->pid = ids >> 32;
	record->tid = ids;
}

/* `record` is on the stack or in a map; a ring that is full costs a record and a line in the books. Since all records
 * have one size, a full ring takes none until user space has read it. */
static __always_inline bool tell(struct linnix_stall *record)
{
	struct linnix_stall *place = bpf_ringbuf_reserve(&stalls, sizeof(*place), 0);
	struct linnix_stall_books *mine = my_books();

	if (place) {
		*place = *record;
		bpf_ringbuf_submit(place, BPF_RB_NO_WAKEUP);
		if (mine && mine->lost_from_ns)
			mine->lost_from_ns = 0;
		return true;
	}
	if (!mine || record->kind >= LINNIX_STALL_KINDS)
		return false;
	add_up(&mine->lost[record->kind], 1);
	if (!mine->lost_from_ns)
		mine->lost_from_ns = bpf_ktime_get_ns();
	if (record->kind == LINNIX_STALL_WAIT)
		add_up(&mine->lost_wait_ns, record->ts_ns - record->begin_ns);
	return false;
}

/* Tell once what a cgroup is part of, up to but without the root. */
static __always_inline void tell_cgroups(struct task_struct *task)
{
	struct css_set *set = peek(task, cgroups);
	struct cgroup *group = peek(set, dfl_cgrp);
	struct kernfs_node *node = peek(group, kn);
	struct linnix_stall record = {};
	__u64 id = peek(node, id);

	record.kind = LINNIX_STALL_CGROUP;
	for (int level = 0; level < MAX_DEPTH; level++) {
		struct cgroup_subsys_state *above = peek(group, self.parent);

		if (!above || bpf_map_lookup_elem(&told_cgroups, &id))
			return;
		group = peek(above, cgroup);
		node = peek(group, kn);
		record.cgroup_id = id;
		record.key = peek(node, id);
		if (!tell(&record))
			return;
		bpf_map_update_elem(&told_cgroups, &id, &record.key, 0);
		id = record.key;
	}
}

/* Of sched_switch: the previous task does not want to run. Its state is an argument since 5.19, 9c2136be0878
 * "sched/tracing: Append prev_state to tp args instead"; read from the task it may be that of a wake-up already, which
 * before 5.14 could not be told from sleeping either. Of kernels in between, none is maintained for long but 5.15. */
static __always_inline bool fell_asleep(__u64 *ctx)
{
	if (ctx[0] & 1) /* preempted */
		return false;
	if (field_exists(struct task_struct___before_5_14, state))
		return ((struct task_struct___before_5_14 *)stay_here((void *)ctx[1]))->state;
	return (__u32)ctx[3];
}

/* Waits for a CPU that are shorter do not change an average. */
#define SHORT_NS 20000

static __always_inline void add_ran(__u64 id, __u64 begin, __u64 amount, __u64 now)
{
	struct linnix_ran *total = bpf_map_lookup_elem(&ran, &id);
	struct linnix_ran fresh = {};

	if (!total) {
		fresh.ns = amount;
		fresh.until_ns = now;
		bpf_map_update_elem(&ran, &id, &fresh, 0);
		return;
	}
	/* Not twice what was told already: a task waits while another of its cgroup runs. */
	if (begin < total->until_ns)
		amount = now > total->until_ns && now - total->until_ns < amount ? now - total->until_ns : amount;
	total->ns += amount;
	total->until_ns = now;
}

/* How long the next task waited for this CPU, by the scheduler's stamp: see runqueue.bpf.c. */
static __always_inline __u64 queued_ns(struct task_struct *next)
{
	__u64 queued, clock;

	if (!field_exists(struct task_struct, sched_info.last_queued))
		return 0;
	queued = ((struct task_struct *)stay_here(next))->sched_info.last_queued;
	clock = next->se.cfs_rq->rq->clock;
	return queued && clock > queued ? clock - queued : 0;
}

/* At every switch. The idle task has pid 0 and is nobody's. */
static __always_inline void note_run(struct task_struct *prev, struct task_struct *next)
{
	__u64 now = bpf_ktime_get_ns(), id, waited;
	struct linnix_running *here;
	__u32 zero = 0;

	here = bpf_map_lookup_elem(&running, &zero);
	if (!here)
		return;
	if (here->since_ns)
		here->ran_ns += now - here->since_ns;
	here->since_ns = next->pid ? now : 0;
	if (!next->pid)
		return;
	id = task_cgroup_id(next);
	waited = queued_ns(next);
	if (id == here->cgroup_id && prev->pid)
		return;
	if (id != here->cgroup_id) {
		if (here->ran_ns)
			add_ran(here->cgroup_id, now, here->ran_ns, now);
		here->cgroup_id = id;
		here->ran_ns = 0;
		tell_cgroups(next);
	}
	if (waited > SHORT_NS)
		add_ran(id, now - waited, waited, now);
}

/* Fill in who, and begin. The task may be any pointer to one. */
static __always_inline void begin_wait(struct task_struct *task, struct linnix_stall *wait)
{
	struct linnix_stall_books *mine;
	__u32 tid = peek(task, pid);

	wait->begin_ns = bpf_ktime_get_ns();
	wait->start_ns = peek_start_ns(task);
	wait->cgroup_id = peek_cgroup_id(task);
	wait->pid = peek(task, tgid);
	wait->tid = tid;
	wait->cpu = bpf_get_smp_processor_id();
	tell_cgroups(task);
	/* An int: before 6.4 the upper half of the result was not set, see lifecycle.bpf.c. */
	if (!(int)bpf_map_update_elem(&open_waits, &tid, wait, 0))
		return;
	mine = my_books();
	if (mine)
		add_up(&mine->unseen_waits, 1);
}

/* What a thread waits for now. An entry with an end is one whose deletion failed, as it may in an interrupt. */
static __always_inline struct linnix_stall *open_wait(__u32 tid)
{
	struct linnix_stall *wait = bpf_map_lookup_elem(&open_waits, &tid);

	return wait && !wait->ts_ns ? wait : NULL;
}

static __always_inline void end_wait(__u32 tid, struct linnix_stall *wait)
{
	wait->ts_ns = bpf_ktime_get_ns();
	tell(wait);
	bpf_map_delete_elem(&open_waits, &tid);
}

#endif
