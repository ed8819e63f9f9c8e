// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Who was killed for want of memory, on whose behalf, and what it held then.
 *
 * mark_oom_victim() (mm/oom_kill.c) runs in the context of the task that found no memory. Its tracepoint names the
 * victim as a task since 6.9, 72ba14deb40a "mm: update mark_victim tracepoints fields", and as a pid before; there the
 * memory is noted at signal_generate, since __oom_kill_process() sends its SIGKILL and marks the victim under one
 * task_lock(): on one CPU, in this order.
 */
#include "linnix_core.bpf.h"
#include "task.bpf.h"
#include "read.bpf.h"
#include "sights.h"

#define OOMS_BYTES (32 << 10)
#define SIGKILL 9
/* include/linux/sched/signal.h: the kernel itself sends */
#define SEND_SIG_PRIV 1

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, OOMS_BYTES);
} ooms SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct linnix_oom_books);
} books SEC(".maps");

struct noted {
	struct linnix_oom victim;
	__u32 tid;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct noted);
} notes SEC(".maps");

static __always_inline __u64 pages(__s64 count)
{
	return count > 0 ? count : 0;
}

static __always_inline void note_memory(struct linnix_oom *oom, struct mm_struct *mm)
{
	struct mm_struct___before_6_2 *old;
	atomic_long_t tables = peek(mm, pgtables_bytes);

	oom->total_pages = peek(mm, total_vm);
	oom->pgtables_bytes = tables.counter;
	if (!field_exists(struct mm_rss_stat, count)) {
		oom->file_pages = pages(peek(mm, rss_stat[MM_FILEPAGES].count));
		oom->anon_pages = pages(peek(mm, rss_stat[MM_ANONPAGES].count));
		oom->swap_pages = pages(peek(mm, rss_stat[MM_SWAPENTS].count));
		oom->shmem_pages = pages(peek(mm, rss_stat[MM_SHMEMPAGES].count));
		return;
	}
	old = stay_here(mm);
	oom->file_pages = pages(peek(old, rss_stat.count[MM_FILEPAGES].counter));
	oom->anon_pages = pages(peek(old, rss_stat.count[MM_ANONPAGES].counter));
	oom->swap_pages = pages(peek(old, rss_stat.count[MM_SWAPENTS].counter));
	oom->shmem_pages = pages(peek(old, rss_stat.count[MM_SHMEMPAGES].counter));
}

/* On a v1 hierarchy the memory cgroup is not the one of the process's cgroup2 path, and its limit is what was hit. */
static __always_inline void note_memcg(struct linnix_oom *oom, struct task_struct *task)
{
	struct cgroup_subsys_state *state = NULL;
	struct css_set *set = peek(task, cgroups);
	struct kernfs_node *node;
	struct cgroup *group;
	__u64 at;

	if (!enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return;
	at = (__u64)set + field_offset(struct css_set, subsys) + enum_value(enum cgroup_subsys_id, memory_cgrp_id) * 8;
	bpf_probe_read_kernel(&state, sizeof(state), (void *)at);
	group = peek(state, cgroup);
	node = peek(group, kn);
	oom->memcg_id = peek(node, id);
	bpf_probe_read_kernel_str(oom->memcg_name, sizeof(oom->memcg_name), peek(node, name));
}

static __always_inline void note_victim(struct linnix_oom *oom, struct task_struct *task)
{
	struct task_struct *leader = peek(task, group_leader);
	struct signal_struct *signal = peek(task, signal);
	struct cred *cred = (void *)peek(task, cred);
	kuid_t uid = peek(cred, uid);

	oom->start_ns = peek(leader, start_boottime);
	oom->cgroup_id = peek_cgroup_id(task);
	oom->pid = peek(task, tgid);
	oom->uid = uid.val;
	oom->oom_score_adj = peek(signal, oom_score_adj);
	bpf_probe_read_kernel_str(oom->comm, sizeof(oom->comm), leader->comm);
	note_memory(oom, peek(task, mm));
	note_memcg(oom, task);
}

static __always_inline void note_invoker(struct linnix_oom *oom)
{
	struct task_struct *current = (void *)bpf_get_current_task();

	oom->ts_ns = bpf_ktime_get_ns();
	oom->invoker_pid = bpf_get_current_pid_tgid() >> 32;
	oom->invoker_start_ns = peek_start_ns(current);
	bpf_probe_read_kernel_str(oom->invoker_comm, sizeof(oom->invoker_comm), current->comm);
}

SEC("raw_tp/signal_generate")
int handle_signal(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[2];
	struct noted *mine;
	__u32 zero = 0;

	if (ctx[0] != SIGKILL || ctx[1] != SEND_SIG_PRIV)
		return 0;
	mine = bpf_map_lookup_elem(&notes, &zero);
	if (!mine)
		return 0;
	__builtin_memset(mine, 0, sizeof(*mine));
	mine->tid = peek(task, pid);
	note_victim(&mine->victim, task);
	return 0;
}

SEC("raw_tp/mark_victim")
int handle_victim(__u64 *ctx)
{
	__u32 zero = 0;
	struct linnix_oom_books *book = bpf_map_lookup_elem(&books, &zero);
	struct noted *noted = bpf_map_lookup_elem(&notes, &zero);
	struct linnix_oom *oom;

	if (!book || !noted)
		return 0;
	add_up(&book->kills, 1);
	oom = bpf_ringbuf_reserve(&ooms, sizeof(*oom), 0);
	if (!oom) {
		add_up(&book->lost, 1);
		return 0;
	}
	__builtin_memset(oom, 0, sizeof(*oom));
	if (field_exists(struct trace_event_raw_mark_victim, oom_score_adj)) {
		note_victim(oom, (void *)ctx[0]);
	} else if (noted->tid == (__u32)ctx[0]) {
		__builtin_memcpy(oom, &noted->victim, sizeof(*oom));
	} else {
		oom->pid = ctx[0];
	}
	note_invoker(oom);
	bpf_ringbuf_submit(oom, BPF_RB_NO_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
