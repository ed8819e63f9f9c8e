// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Who ran while whom waited for a CPU.
 *
 * A wait is known when it ends: at the switch to the task, or when the task is taken to another CPU. Where it began the
 * scheduler tells itself, in sched_info, on the run queue's clock: so our waits sum to run_delay to the nanosecond, and
 * no wake-up needs a program.
 *
 * Two measures. task_ns adds waits up. stall_ns is their union on this CPU (blame_cpu_union.bpf.h), over a process or a
 * control group and all below it; user space averages it over CPUs as PSI does.
 */
#include "sched.bpf.h"
#include "blame_cpu.h"
#include "blame_cpu_maps.bpf.h"
#include "blame_cpu_charge.bpf.h"
#include "blame_cpu_union.bpf.h"
#include "blame_cpu_quota.bpf.h"
#include "blame_cpu_note.bpf.h"

/* The run queue of one CPU at one event. */
struct scene {
	struct blame_control *common;
	struct blame_cpu *lane;
	struct slices *slices;
	__u64 now;
	__u32 cpu;
	__u32 buffer;
};

static __always_inline void end_slice(const struct scene *scene)
{
	scene->slices->at[scene->lane->head & (SLICES - 1)].end = scene->now;
	scene->slices->crowds[scene->lane->crowd & (CROWDS - 1)].end = scene->now;
}

/* From now on runs whom `note` tells of, or nobody. */
static __always_inline void open_slice(const struct scene *scene, const struct note *note, bool is_many)
{
	struct blame_cpu *lane = scene->lane;
	struct slice *slice = &scene->slices->at[lane->head & (SLICES - 1)];
	__u32 pid = note ? note->pid : 0, salt = note ? note->salt : 0;
	__u64 cgroup = note ? note->cgroup : 0;

	lane->slot = note ? note->slot : 0;
	lane->many = is_many ? pid : 0;
	if (slice->pid == pid && slice->salt == salt) /* the slice that just ended goes on */
		return;
	lane->head++;
	slice = &scene->slices->at[lane->head & (SLICES - 1)];
	slice->pid = pid;
	slice->salt = salt;
	slice->start_ns = note ? note->start_ns : 0;
	slice->cgroup = cgroup;
	if (scene->slices->crowds[lane->crowd & (CROWDS - 1)].cgroup != cgroup) {
		lane->crowd++;
		scene->slices->crowds[lane->crowd & (CROWDS - 1)].cgroup = cgroup;
	}
}

/* The first switch of an epoch on this CPU: `prev` has run since the epoch began. */
static __noinline int begin_lane(struct blame_cpu *lane, struct slices *slices, struct blame_control *common,
				 struct task_struct *prev, __u64 now)
{
	struct scene scene = {.lane = lane, .slices = slices, .common = common};
	struct note *note = prev->pid ? note_of(prev, common) : NULL;

	lane->epoch = common->epoch;
	lane->begin = now - (bpf_ktime_get_ns() - common->begin_mono_ns);
	lane->since = lane->begin;
	lane->credit = CREDIT_MAX_NS;
	lane->waits = 0;
	lane->waited_ns = 0;
	lane->forgotten_ns = 0;
	lane->untold_ns = 0;
	lane->unmatched_ns = 0;
	/* what ran before is of no interest: no wait reaches back behind the begin */
	lane->head++;
	lane->crowd++;
	slices->at[lane->head & (SLICES - 1)].pid = BLAME_CROWD;
	slices->crowds[lane->crowd & (CROWDS - 1)].cgroup = BLAME_CROWD;
	scene.now = lane->begin;
	end_slice(&scene);
	open_slice(&scene, note, prev->pid && has_threads(prev));
	return 0;
}

/* Amounts that are no pair: who ran, and who slept in iowait. PSI weighs CPUs by them. A function of its own for the sake
 * of the stack. */
static __noinline int tell_use(const struct scene *scene, __u32 victim, __u64 cgroup, __u32 what_and_cpu, __u64 ns)
{
	struct charge charge = {.lane = scene->cpu, .buffer = scene->buffer, .is_stall = true};
	struct blame_near *near = near_of(&charge);
	struct slice nobody = {};

	charge.victim = victim;
	charge.victim_cgroup = cgroup;
	charge.what = what_and_cpu >> 16;
	charge.cpu = what_and_cpu;
	if (near && ns)
		add(&charge, near, scene->lane, &nobody, ns);
	return 0;
}

/* A wait has ended that began at `from`. */
static __always_inline void charge_wait(const struct scene *scene, struct task_struct *task, struct note *note,
					bool is_many, __u64 from)
{
	struct work *work = bpf_map_lookup_elem(&works, &scene->cpu);
	struct blame_cpu *lane = scene->lane;
	struct slices *slices = scene->slices;
	__u64 to = scene->now;
	struct charge *charge;

	if (!work)
		return;
	charge = &work->charge;
	charge->lane = scene->cpu;
	charge->buffer = scene->buffer;
	lane->waits++;
	lane->waited_ns += to - from;
	charge->victim = note->pid;
	charge->salt = note->salt;
	charge->victim_start_ns = note->start_ns;
	charge->victim_cgroup = note->cgroup;
	charge->cpu = BLAME_ANY_CPU;
	charge->what = BLAME_PROCESS;
	charge->is_task = true;
	charge->is_stall = !is_many;
	charge->is_throttled = false;
	if (is_throttled(task->se.cfs_rq, note->throttled))
		find_throttles(charge, task, note, from, to);
	charge->is_short = !charge->is_throttled && slices->at[(lane->head - 1) & (SLICES - 1)].end <= from;
	if (charge->is_short)
		charge_last(charge, to - from);
	else
		charge_span(charge, from, to, WHOLE);
	charge->is_task = false;
	charge->is_stall = true;
	charge->cpu = scene->cpu;
	if (is_many)
		charge_process(charge, from, to);
	if (!note->slot)
		return;
	charge->victim_start_ns = 0;
	charge->salt = 0;
	charge->what = BLAME_CGROUP;
	charge_groups(charge, note->slot, from, to);
}

/* `prev` goes to sleep, or was preempted on its way there. */
static __noinline int note_sleeper(struct task_struct *prev, struct blame_control *common, __u32 cpu, __u64 now)
{
	struct note *note = note_of(prev, common);

	if (!note)
		return 0;
	if (is_queued(prev)) {
		note->queued = now; /* PSI has it waiting, sched_info has not */
	} else {
		note->slept = now;
		note->slept_cpu = cpu;
	}
	return 0;
}

SEC("tp_btf/sched_switch")
int handle_switch(__u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];
	struct task_struct *next = (void *)ctx[2];
	struct scene scene = {.cpu = bpf_get_smp_processor_id(), .now = rq_clock(prev)};
	__u64 now = scene.now, from;
	struct blame_cpu *lane;
	struct note *note;
	__u32 zero = 0;
	bool is_many;

	scene.common = bpf_map_lookup_elem(&control, &zero);
	scene.slices = bpf_map_lookup_elem(&ran, &scene.cpu);
	scene.lane = lane = bpf_map_lookup_elem(&cpus, &scene.cpu);
	if (!scene.common || !lane || !scene.slices || !scene.common->epoch)
		return 0;
	scene.buffer = scene.common->active & 1;
	if (lane->epoch != scene.common->epoch)
		begin_lane(lane, scene.slices, scene.common, prev, now);
	end_slice(&scene);
	lane->credit += (now - lane->since) >> CREDIT_SHIFT;
	if (lane->credit > CREDIT_MAX_NS)
		lane->credit = CREDIT_MAX_NS;
	if (lane->slot)
		tell_use(&scene, lane->slot, scene.slices->at[lane->head & (SLICES - 1)].cgroup,
			 (BLAME_CGROUP | BLAME_RAN) << 16 | scene.cpu, now - lane->since);
	if (lane->many)
		tell_use(&scene, lane->many, 0, (BLAME_PROCESS | BLAME_RAN) << 16 | scene.cpu, now - lane->since);
	lane->since = now;
	if (prev->pid && !is_running_state(prev) && (read_bits(prev, in_iowait) || is_queued(prev)))
		note_sleeper(prev, scene.common, scene.cpu, now);
	if (throttled_since(prev->se.cfs_rq, now))
		look_at_leaver(prev, lane->epoch, now);
	if (!next->pid) {
		open_slice(&scene, NULL, false);
		return 0;
	}

	note = note_of(next, scene.common);
	from = next->sched_info.last_queued;
	is_many = has_threads(next);
	if (!note) {
		lane->unmatched_ns += from ? now - from : 0;
		open_slice(&scene, NULL, false);
		return 0;
	}
	if (note->slept) {
		if (note->slot && from > note->slept)
			tell_use(&scene, note->slot, note->cgroup, (BLAME_CGROUP | BLAME_SLEPT) << 16 | note->slept_cpu,
				 from - note->slept);
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
	if (from && from < lane->begin)
		from = lane->begin;
	if (from && from < now)
		charge_wait(&scene, next, note, is_many, from);
	note->queue = (__u64)next->se.cfs_rq;
	note->throttled = throttled_total(next->se.cfs_rq);
	open_slice(&scene, note, is_many);
	return 0;
}

/* A queued task is taken to another CPU. sched_info has just been told (dequeue_task()) and will begin anew there. */
SEC("tp_btf/sched_migrate_task")
int handle_migrate(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct scene scene = {};
	struct note *note;
	__u64 waited, from;
	__u32 zero = 0;

	if (task->on_rq != TASK_ON_RQ_MIGRATING)
		return 0;
	scene.common = bpf_map_lookup_elem(&control, &zero);
	if (!scene.common || !scene.common->epoch)
		return 0;
	note = note_of(task, scene.common);
	if (!note)
		return 0;
	if (is_delayed(task)) { /* it sleeps, but the queue it comes to will stamp it as if it waited */
		note->is_stale = 1;
		return 0;
	}
	scene.cpu = task->se.cfs_rq->rq->cpu;
	scene.now = rq_clock(task);
	scene.buffer = scene.common->active & 1;
	scene.slices = bpf_map_lookup_elem(&ran, &scene.cpu);
	scene.lane = bpf_map_lookup_elem(&cpus, &scene.cpu);
	waited = task->sched_info.run_delay - note->run_delay;
	note->run_delay += waited;
	from = waited ? scene.now - waited : note->queued;
	note->queued = 0;
	if (!from || !scene.lane || !scene.slices || scene.lane->epoch != scene.common->epoch)
		return 0;
	if (from < scene.lane->begin)
		from = scene.lane->begin;
	end_slice(&scene); /* it goes on, and has lasted until now */
	if (from < scene.now)
		charge_wait(&scene, task, note, has_threads(task), from);
	return 0;
}

/* At the begin of an epoch: what everybody has waited until then. */
SEC("iter/task")
int note_task(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct blame_control *common;
	struct note *note;
	__u32 zero = 0;

	common = bpf_map_lookup_elem(&control, &zero);
	if (!task || !common)
		return 0;
	note = bpf_task_storage_get(&notes, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (note && note->epoch != common->epoch)
		begin_note(note, task, common);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
