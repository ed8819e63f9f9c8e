// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Births, execs and deaths of processes.
 *
 * Every one of them becomes one record of fixed size or one count of loss: nothing is sampled or filtered. Both rings
 * hold records of one size only, so that user space sees an array. Wake-ups are rare by design: user space polls by
 * time, and is woken early only when a ring fills.
 */
#include "linnix_core.bpf.h"
#include "account.bpf.h"
#include "books.bpf.h"
#include "death.bpf.h"
#include "event.h"
#include "flood.bpf.h"
#include "task.bpf.h"

/* Mapped in user space, and counted in its RSS in full: 37,449 events, 2,473 texts. */
#define EVENTS_BYTES (4 << 20)
#define TEXTS_BYTES (1 << 20)

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENTS_BYTES);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, TEXTS_BYTES);
} texts SEC(".maps");

/* Groups whose death was reported, for kernels that do not say which thread was the last. Remembered for the few
 * microseconds in which two threads can both see no thread alive. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct identity);
	__type(value, __u8);
} burials SEC(".maps");

static __always_inline struct linnix_event *begin(__u32 kind, struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;
	struct task_struct *parent = task->real_parent;
	struct linnix_event *event;

	if (!admit(&events, LINNIX_EVENTS_RING, kind, sizeof(*event) + RECORD_HEADER, task))
		return NULL;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_lost(kind);
		return NULL;
	}
	count_produced(kind);
	event->ts_ns = bpf_ktime_get_ns();
	event->start_ns = leader->start_boottime;
	event->parent_start_ns = parent->group_leader->start_boottime;
	event->cgroup_id = task_cgroup_id(task);
	event->text_seq = 0;
	event->cpu_ns = 0;
	event->max_rss_pages = 0;
	event->pid = task->tgid;
	event->ppid = parent->tgid;
	event->uid = task->cred->uid.val;
	event->gid = task->cred->gid.val;
	event->kind = kind;
	event->cpu = bpf_get_smp_processor_id();
	event->exit_code = 0;
	event->exit_signal = 0;
	__builtin_memset(event->comm, 0, sizeof(event->comm));
	bpf_probe_read_kernel_str(event->comm, sizeof(event->comm), leader->comm);
	return event;
}

/* Wakes the reader if this is the first record it has not seen (kernel/bpf/ringbuf.c, bpf_ringbuf_commit): it then lets
 * more gather, so that an idle host wakes nobody and a storm wakes the reader once a batch. */
static __always_inline void commit(struct linnix_event *event)
{
	bpf_ringbuf_submit(event, 0);
}

/* What is run: returns the key that joins it with its event, 0 if it was lost. The argument area was written by this
 * very exec and is resident. It ends at arg_end: behind it lies the environment, which is none of our business. */
static __always_inline __u64 tell_text(struct task_struct *task, struct linux_binprm *program)
{
	struct linnix_exec_text *text;
	__u64 start = task->mm->arg_start;
	__u64 total = task->mm->arg_end - start;
	__u64 len = total < LINNIX_ARGV_LEN ? total : LINNIX_ARGV_LEN;
	long copied;
	__u64 seq;

	if (!admit(&texts, LINNIX_TEXTS_RING, LINNIX_EXEC_TEXT, sizeof(*text) + RECORD_HEADER, task))
		return 0;
	text = bpf_ringbuf_reserve(&texts, sizeof(*text), 0);
	if (!text) {
		count_lost(LINNIX_EXEC_TEXT);
		return 0;
	}
	count_produced(LINNIX_EXEC_TEXT);
	__builtin_memset(text, 0, sizeof(*text));
	seq = bpf_ktime_get_ns();
	text->start_ns = task->group_leader->start_boottime;
	text->seq = seq;
	text->pid = task->tgid;
	text->argv_total = total;
	copied = bpf_probe_read_kernel_str(text->filename, sizeof(text->filename), program->filename);
	text->filename_len = copied > 0 ? copied - 1 : 0;
	/* Forget what clang knows of the bound, or it drops the comparison that the verifier of 5.10 must see. */
	asm volatile("" : "+r"(len));
	if (len <= LINNIX_ARGV_LEN && !bpf_probe_read_user(text->argv, len, (void *)start))
		text->argv_len = len;
	bpf_ringbuf_submit(text, wake_flag(&texts, TEXTS_BYTES, sizeof(*text) + RECORD_HEADER));
	return seq;
}

/* True for exactly one thread of a group, the last. Since 6.16 the kernel says so. Before, all threads that passed the
 * decrement of signal->live together read 0, and the first to enter the group into `burials` reports. */
static __always_inline bool group_is_dead(__u64 *ctx, struct task_struct *task)
{
	struct signal_struct *signal = task->signal;
	struct identity key;
	__u8 value = 1;

	if (field_exists(struct trace_event_raw_sched_process_exit, group_dead))
		return ctx[1] & 1;
	if (signal->live.counter)
		return false;
	if (signal->nr_threads == 1 && !signal->sum_sched_runtime)
		return true;
	key = identity_of(task);
	/* An int: before 6.4, d7ba4cc900bf "bpf: return long from bpf_map_ops funcs", the upper half was not set. */
	return (int)bpf_map_update_elem(&burials, &key, &value, BPF_NOEXIST) != -EEXIST;
}

SEC("tp_btf/sched_process_fork")
int handle_fork(__u64 *ctx)
{
	struct task_struct *child = (void *)ctx[1];
	struct linnix_event *event;
	struct linnix_books *mine;

	if (child->pid != child->tgid) {
		mine = my_books();
		if (mine)
			count(&mine->threads);
		return 0;
	}
	event = begin(LINNIX_FORK, child);
	if (event)
		commit(event);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int handle_exec(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	/* The text first: who has read an event finds its text in the other ring. */
	__u64 seq = tell_text(task, (void *)ctx[2]);
	struct linnix_event *event = begin(LINNIX_EXEC, task);

	if (!event)
		return 0;
	event->text_seq = seq;
	commit(event);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int handle_exit(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct signal_struct *signal = task->signal;
	struct linnix_event *event;
	__u32 status;

	note_death(task);
	expect_burial(task, signal);
	if (!group_is_dead(ctx, task))
		return 0;
	event = begin(LINNIX_EXIT, task);
	if (!event)
		return 0;
	status = group_exit_status(task->group_leader, signal);
	event->cpu_ns = group_cpu_ns(task, signal);
	event->max_rss_pages = signal->maxrss;
	event->exit_code = (status >> 8) & 0xff;
	event->exit_signal = status & 0xff;
	commit(event);
	return 0;
}

/* Comes between the fork event and the first instruction of whatever was born, and for those that have no fork event. */
SEC("tp_btf/sched_wakeup_new")
int handle_birth(__u64 *ctx)
{
	struct linnix_books *mine;

	if (is_kernel_worker((void *)ctx[0]) && (mine = my_books()))
		count(&mine->workers);
	return 0;
}

SEC("tp_btf/sched_process_free")
int handle_free(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];

	note_burial(task);
	bury(task);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
