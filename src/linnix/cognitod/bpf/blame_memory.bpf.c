// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Who waits for memory, and who takes memory meanwhile.
 *
 * A wait is what PSI takes for one (kernel/sched/psi.c): time in which task->in_memstall is set, running or asleep. Its
 * begin and end have no tracepoint, but what it consists of has: reclaim and compaction begin and end, and what sleeps
 * in such a section without either waits for a page that had been evicted, or for its cgroup's memory.high.
 *
 * Who takes memory is counted in pages, by process. That these made the others wait is a conclusion, drawn in user space.
 */
#define STALLS_BYTES (2 << 20)
#include "linnix_core.bpf.h"
#include "stall.bpf.h"

/* So many pages are told at once: a megabyte, where a page is 4 KiB. */
#define PAGES_TOLD 256

/* By process: pages taken since begin_ns, not told yet. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct linnix_stall);
} takers SEC(".maps");

/* By thread: its CPU time when its last wait began. What falls out is unknown. */
struct thread {
	__u64 start_ns;
	__u64 run_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct thread);
} threads SEC(".maps");

static __always_inline bool in_memstall(struct task_struct *task)
{
	if (!field_exists(struct task_struct, in_memstall))
		return false;
	return peek_bits(task, in_memstall);
}

static __always_inline __u64 run_since_last_wait(struct task_struct *task, __u32 tid)
{
	struct thread *known = bpf_map_lookup_elem(&threads, &tid);
	struct thread now = {};
	__u64 used;

	now.start_ns = peek(task, start_boottime);
	now.run_ns = peek(task, se.sum_exec_runtime);
	if (known && known->start_ns == now.start_ns) {
		used = now.run_ns - known->run_ns;
		known->run_ns = now.run_ns;
		return used;
	}
	bpf_map_update_elem(&threads, &tid, &now, 0);
	return 0;
}

static __always_inline void begin_memstall(struct task_struct *task, __u8 cause, __u32 depth)
{
	struct linnix_stall wait = {};

	wait.kind = LINNIX_STALL_WAIT;
	wait.cause = cause;
	wait.amount = depth;
	wait.key = run_since_last_wait(task, peek(task, pid));
	begin_wait(task, &wait);
}

/* A section of the current task. Kernel threads free memory for others, and who asks for it through sysfs or
 * memory.reclaim is not held up by it: neither is in a stall. */
static __always_inline int enter(__u8 cause)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 tid = bpf_get_current_pid_tgid();
	struct linnix_stall *outer;

	if (!in_memstall(task) || peek(task, flags) & PF_KTHREAD)
		return 0;
	outer = open_wait(tid);
	if (outer && outer->amount)
		outer->amount++;
	else
		begin_memstall(task, cause, 1);
	return 0;
}

static __always_inline int leave(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct linnix_stall *wait = open_wait(tid);

	if (!wait || !wait->amount)
		return 0;
	if (--wait->amount == 0)
		end_wait(tid, wait);
	return 0;
}

static __always_inline int count_host_reclaim(void)
{
	struct linnix_stall_books *mine = my_books();

	if (mine)
		add_up(&mine->host_reclaims, 1);
	return 0;
}

#define NO_ARGUMENTS void *ctx __attribute__((unused))

SEC("tp_btf/mm_vmscan_direct_reclaim_begin")
int handle_reclaim(NO_ARGUMENTS)
{
	count_host_reclaim();
	return enter(LINNIX_CAUSE_RECLAIM);
}

SEC("tp_btf/mm_vmscan_direct_reclaim_end")
int handle_reclaim_end(NO_ARGUMENTS)
{
	return leave();
}

SEC("tp_btf/mm_vmscan_node_reclaim_begin")
int handle_node_reclaim(NO_ARGUMENTS)
{
	count_host_reclaim();
	return enter(LINNIX_CAUSE_RECLAIM);
}

SEC("tp_btf/mm_vmscan_node_reclaim_end")
int handle_node_reclaim_end(NO_ARGUMENTS)
{
	return leave();
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_begin")
int handle_own_limit(NO_ARGUMENTS)
{
	return enter(LINNIX_CAUSE_OWN_LIMIT);
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_end")
int handle_own_limit_end(NO_ARGUMENTS)
{
	return leave();
}

SEC("tp_btf/mm_compaction_begin")
int handle_compaction(NO_ARGUMENTS)
{
	return enter(LINNIX_CAUSE_COMPACTION);
}

SEC("tp_btf/mm_compaction_end")
int handle_compaction_end(NO_ARGUMENTS)
{
	return leave();
}

SEC("tp_btf/mm_vmscan_kswapd_wake")
int handle_kswapd_wake(NO_ARGUMENTS)
{
	return count_host_reclaim();
}

SEC("tp_btf/mm_vmscan_kswapd_sleep")
int handle_kswapd_sleep(NO_ARGUMENTS)
{
	return count_host_reclaim();
}

/* A sleep outside those sections ends when the task has a CPU again: so does the section around it. */
SEC("tp_btf/sched_switch")
int handle_switch(__u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];
	struct task_struct *next = (void *)ctx[2];
	struct linnix_stall *wait;
	__u32 tid;

	note_run(prev, next);
	if (!field_exists(struct task_struct, in_memstall))
		return 0;
	if (read_bits((struct task_struct *)stay_here(next), in_memstall)) {
		tid = next->pid;
		wait = open_wait(tid);
		if (wait && !wait->amount)
			end_wait(tid, wait);
	}
	if (!read_bits((struct task_struct *)stay_here(prev), in_memstall) || !fell_asleep(ctx))
		return 0;
	tid = prev->pid;
	if (prev->flags & PF_KTHREAD || open_wait(tid))
		return 0;
	/* A page comes from a device: iowait. Who is above its memory.high sleeps for a time. */
	begin_memstall(prev, read_bits(prev, in_iowait) ? LINNIX_CAUSE_REFAULT : LINNIX_CAUSE_OWN_LIMIT, 0);
	return 0;
}

SEC("tp_btf/mm_page_alloc")
int handle_alloc(__u64 *ctx)
{
	__u32 pid = bpf_get_current_pid_tgid() >> 32;
	__u32 pages = 1U << (ctx[1] & 31);
	struct linnix_stall fresh = {};
	struct linnix_stall *taker;

	if (!ctx[0] || !pid)
		return 0;
	taker = bpf_map_lookup_elem(&takers, &pid);
	if (!taker) {
		fresh.kind = LINNIX_STALL_ALLOC;
		name_current(&fresh);
		fresh.begin_ns = bpf_ktime_get_ns();
		fresh.amount = pages;
		bpf_map_update_elem(&takers, &pid, &fresh, 0);
		return 0;
	}
	if (!taker->amount)
		taker->begin_ns = bpf_ktime_get_ns();
	/* Threads of one process may overwrite each other's count here: it is an estimate, and this is a hot path. */
	taker->amount += pages;
	if (taker->amount < PAGES_TOLD)
		return 0;
	taker->ts_ns = bpf_ktime_get_ns();
	tell(taker);
	taker->amount = 0;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
