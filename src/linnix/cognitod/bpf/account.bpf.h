/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The final account of a process, made up when the kernel frees its tasks.
 *
 * sched_process_free comes a grace period after a task was reaped and has left its CPU for good (kernel/exit.c,
 * put_task_struct_rcu_user), so its own counters are final. By then release_task() has added every thread, the leader
 * included, to signal_struct (kernel/exit.c, __exit_signal) with one exception: run-queue delay is kept by thread only.
 *
 * A process that always had one thread is told at once when that is freed. The tasks of one that had several are freed
 * in any order: what they leave is gathered in `crowds`, and whoever is freed last tells. On processors that reorder
 * two stores of different CPUs both could think the other was the last: that account would be missing, by a chance of
 * some nanoseconds in the life of a threaded process.
 */
#ifndef LINNIX_ACCOUNT_BPF_H
#define LINNIX_ACCOUNT_BPF_H

#include "books.bpf.h"
#include "flood.bpf.h"
#include "task.bpf.h"

/* Mapped in user space, and counted in its RSS in full: 5,041 accounts. */
#define ACCOUNTS_BYTES (512 << 10)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, ACCOUNTS_BYTES);
} accounts SEC(".maps");

struct identity {
	__u64 start_ns;
	__u64 pid;
};

struct crowd {
	struct linnix_account account; /* cpu_ns, run_delay_ns and threads: of those that were freed */
	__s64 pending;		       /* tasks that have exited and are not freed */
	__u64 leader_freed;
};

/* Processes of which a task has died while it had others. An entry stays until the process is freed. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct identity);
	__type(value, struct crowd);
} crowds SEC(".maps");

static __always_inline struct identity identity_of(struct task_struct *task)
{
	return (struct identity){.start_ns = task->group_leader->start_boottime, .pid = task->tgid};
}

/* At the exit of any thread: from now on one more must be freed before the account is whole. */
static __always_inline void expect_burial(struct task_struct *task, struct signal_struct *signal)
{
	struct crowd nobody = {};
	struct identity key;
	struct crowd *crowd;

	/* The only thread there ever was: the first that is reaped leaves its run time in the sum. */
	if (signal->nr_threads == 1 && !signal->sum_sched_runtime)
		return;
	key = identity_of(task);
	crowd = bpf_map_lookup_elem(&crowds, &key);
	if (!crowd) {
		bpf_map_update_elem(&crowds, &key, &nobody, BPF_NOEXIST);
		crowd = bpf_map_lookup_elem(&crowds, &key);
	}
	if (crowd)
		add_up(&crowd->pending, 1);
}

static __always_inline void tell_account(struct task_struct *task, const struct linnix_account *whole)
{
	struct linnix_account *account;

	if (!admit(&accounts, LINNIX_ACCOUNTS_RING, LINNIX_ACCOUNT, sizeof(*account) + RECORD_HEADER, task))
		return;
	account = bpf_ringbuf_reserve(&accounts, sizeof(*account), 0);
	if (!account) {
		count_lost(LINNIX_ACCOUNT);
		return;
	}
	count_produced(LINNIX_ACCOUNT);
	*account = *whole;
	bpf_ringbuf_submit(account, wake_flag(&accounts, ACCOUNTS_BYTES, sizeof(*account) + RECORD_HEADER));
}

/* What signal_struct holds of the whole group once its leader was reaped. */
static __always_inline void read_totals(struct linnix_account *account, struct signal_struct *signal)
{
	account->utime_ns = signal->utime;
	account->stime_ns = signal->stime;
	account->nvcsw = signal->nvcsw;
	account->nivcsw = signal->nivcsw;
	account->min_flt = signal->min_flt;
	account->maj_flt = signal->maj_flt;
	account->read_bytes = signal_read_bytes(signal);
	account->write_bytes = signal_write_bytes(signal);
}

/* Threads that died before these programs were attached are in the group's sum alone. */
static __always_inline void at_least(__u64 *value, __u64 least)
{
	if (*value < least)
		*value = least;
}

static __always_inline void bury(struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	__u64 run_ns = task->se.sum_exec_runtime;
	__u64 run_delay_ns = task_run_delay_ns(task);
	bool leads = task->pid == task->tgid;
	struct identity key = identity_of(task);
	struct crowd *crowd = bpf_map_lookup_elem(&crowds, &key);
	struct linnix_account whole = {};

	if (crowd) {
		add_up(&crowd->account.cpu_ns, run_ns);
		add_up(&crowd->account.run_delay_ns, run_delay_ns);
		add_up(&crowd->account.threads, 1);
		if (leads) {
			read_totals(&crowd->account, signal);
			add_up(&crowd->leader_freed, 1);
		}
		add_up(&crowd->pending, -1);
		if (!crowd->leader_freed || crowd->pending > 0)
			return;
		whole = crowd->account;
		if ((int)bpf_map_delete_elem(&crowds, &key)) /* another was last as well, and was quicker */
			return;
	} else if (leads) {
		whole.cpu_ns = run_ns;
		whole.run_delay_ns = run_delay_ns;
		whole.threads = 1;
		read_totals(&whole, signal);
	} else {
		return; /* it exited before these programs were attached */
	}
	whole.start_ns = key.start_ns;
	whole.pid = key.pid;
	at_least(&whole.cpu_ns, signal->sum_sched_runtime);
	tell_account(task, &whole);
}

#endif
