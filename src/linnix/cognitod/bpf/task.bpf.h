/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What a task is, across kernels: one accessor a question, each naming the kernel change that made it necessary.
 */
#ifndef LINNIX_TASK_BPF_H
#define LINNIX_TASK_BPF_H

#include "linnix_core.bpf.h"

/* include/linux/mm_types_task.h */
#define MM_FILEPAGES 0
#define MM_ANONPAGES 1
#define MM_SWAPENTS 2
#define MM_SHMEMPAGES 3

/* include/linux/sched/signal.h */
#define SIGNAL_GROUP_EXIT 0x4

/* include/linux/sched.h */
#define PF_EXITING 0x4
#define PF_IO_WORKER 0x10
#define PF_USER_WORKER 0x4000

/* Threads of a dying group that are looked at one by one; those beyond have nearly always been added up already. */
#define GROUP_WALK 64

/* A pointer the verifier guards becomes a number by way of the stack. */
static __always_inline __u64 as_number(void *pointer)
{
	void *volatile slot = pointer;
	__u64 number = 0;

	bpf_probe_read_kernel(&number, sizeof(number), (const void *)&slot);
	return number;
}

static __always_inline __u32 task_state(struct task_struct *task)
{
	if (field_exists(struct task_struct___before_5_14, state))
		return ((struct task_struct___before_5_14 *)stay_here(task))->state | task->exit_state;
	return task->__state | task->exit_state;
}

static __always_inline __u64 task_cgroup_id(struct task_struct *task)
{
	return task->cgroups->dfl_cgrp->kn->id;
}

/* 0 where the kernel keeps none. */
static __always_inline __u64 task_run_delay_ns(struct task_struct *task)
{
	return field_exists(struct task_struct, sched_info)
		       ? ((struct task_struct *)stay_here(task))->sched_info.run_delay
		       : 0;
}

/* Whether its exit has been reported, to a few instructions where group_dead exists: there the tracepoint follows at once
 * on the flag. Before, 6.16 "sched/tracepoints: Move and extend the sched_process_exit() tracepoint", the memory was given
 * back in between, and exit_state comes next after it. */
static __always_inline bool has_exited(struct task_struct *task)
{
	if (field_exists(struct trace_event_raw_sched_process_exit, group_dead))
		return task->flags & PF_EXITING;
	return task->exit_state;
}

/* Bytes that a task had read from block devices, and wrote or dirtied and nobody cancelled. */
static __always_inline __u64 task_read_bytes(struct task_struct *task)
{
	return field_exists(struct task_io_accounting, read_bytes)
		       ? ((struct task_struct *)stay_here(task))->ioac.read_bytes
		       : 0;
}

static __always_inline __u64 task_write_bytes(struct task_struct *task)
{
	if (!field_exists(struct task_io_accounting, write_bytes))
		return 0;
	task = stay_here(task);
	return task->ioac.write_bytes - task->ioac.cancelled_write_bytes;
}

static __always_inline __u64 signal_read_bytes(struct signal_struct *signal)
{
	return field_exists(struct task_io_accounting, read_bytes)
		       ? ((struct signal_struct *)stay_here(signal))->ioac.read_bytes
		       : 0;
}

static __always_inline __u64 signal_write_bytes(struct signal_struct *signal)
{
	return field_exists(struct task_io_accounting, write_bytes)
		       ? ((struct signal_struct *)stay_here(signal))->ioac.write_bytes
		       : 0;
}

/* Made by the kernel for io_uring or vhost, in the group of a process but by no clone(2) of it. The bits meant other
 * things before: see struct kernel_clone_args. */
static __always_inline bool is_kernel_worker(struct task_struct *task)
{
	if (field_exists(struct kernel_clone_args, user_worker))
		return task->flags & PF_USER_WORKER;
	return field_exists(struct kernel_clone_args, io_thread) && task->flags & PF_IO_WORKER;
}

/* As wait4(2) would report it (kernel/exit.c, wait_task_zombie). Before 6.0 do_group_exit left group_exit_code alone
 * in a process with one thread, so the flag decides which of the two is true. */
static __always_inline __u32 group_exit_status(struct task_struct *leader, struct signal_struct *signal)
{
	return signal->flags & SIGNAL_GROUP_EXIT ? signal->group_exit_code : leader->exit_code;
}

/*
 * CPU time of a whole thread group at the death of its last thread, `task`.
 *
 * signal->sum_sched_runtime holds the threads that release_task() has buried. Not in it: the dying thread itself; the
 * leader, which is buried last even when it exited first; and threads that died beside us and are on their way there.
 * The list is read without its lock: a thread buried during the walk can be missed or counted twice, never more.
 */
static __always_inline __u64 group_cpu_ns(struct task_struct *task, struct signal_struct *signal)
{
	__u64 total = signal->sum_sched_runtime;
	struct list_head *head = &signal->thread_head;
	struct list_head *node = NULL;
	__u64 run_ns;

	if (signal->nr_threads == 1)
		return total + task->se.sum_exec_runtime;
	bpf_probe_read_kernel(&node, sizeof(node), &head->next);
	for (int i = 0; i < GROUP_WALK && node && node != head; i++) {
		struct task_struct *thread = (void *)node - field_offset(struct task_struct, thread_node);

		if (!bpf_probe_read_kernel(&run_ns, sizeof(run_ns), &thread->se.sum_exec_runtime))
			total += run_ns;
		if (bpf_probe_read_kernel(&node, sizeof(node), &node->next))
			break;
	}
	return total;
}

#endif
