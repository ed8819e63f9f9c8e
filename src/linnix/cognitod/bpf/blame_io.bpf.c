// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Who waits for block devices, and whose requests those devices serve meanwhile.
 *
 * Nothing is concluded here: requests and waits are told one by one when they end, and user space does the arithmetic
 * (kernel/charge.py). What must be known at the moment itself is the owner of a request. Whoever gets a request for a bio
 * submits it, so that is the owner, unless it is a thread of the kernel that writes back what others have dirtied: then
 * it is the process that last dirtied a page of the same inode, and the record says that this was inferred.
 *
 * A wait is what PSI takes for one (kernel/sched/psi.c): from the switch that puts a task in iowait to sleep up to its
 * wake-up, on the CPU where it fell asleep.
 */
#define STALLS_BYTES (4 << 20)
#include "linnix_core.bpf.h"
#include "block.bpf.h"
#include "stall.bpf.h"

/* A completion wakes whom it concerns within this time, on the same CPU. */
#define WAKE_NS 200000
/* Without a completion that woke it, a thread waits for the device it submitted to no longer ago than this. */
#define SUBMITTED_NS 1000000000ULL

/* Owners of the bios at the beginning of requests that were not completed yet; an entry that no completion finds, after
 * a merge or a partial completion, is overwritten when the bio's memory is used again. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct linnix_stall);
} owners SEC(".maps");

/* Requests that their devices have, by address: the record as it will be sent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct linnix_stall);
} in_flight SEC(".maps");

/* By device: who last asked for a flush. The request that does it has no bio. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct linnix_stall);
} flushers SEC(".maps");

/* By inode: who last made one of its pages dirty. What falls out is not inferred. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct linnix_stall);
} dirtiers SEC(".maps");

/* By thread: the inode it is writing back. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} writing SEC(".maps");

/* What is remembered of a thread from one wait to the next. What falls out is unknown. */
struct thread {
	__u64 start_ns;
	__u64 submitted_ns;
	__u64 run_ns;
	__u32 dev;
	__u32 waited;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct thread);
} threads SEC(".maps");

/* The last completion on each CPU. */
struct completion {
	__u64 ts_ns;
	__u64 dev;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct completion);
} completions SEC(".maps");

static __always_inline bool is_kernel_thread(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return peek(task, flags) & PF_KTHREAD;
}

/* A thread of the kernel in the middle of an inode's writeback acts for whoever dirtied it. */
static __always_inline void find_owner(struct linnix_stall *owner)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct linnix_stall *dirtier;
	__u64 *inode;

	name_current(owner);
	if (!is_kernel_thread())
		return;
	inode = bpf_map_lookup_elem(&writing, &tid);
	if (!inode)
		return;
	dirtier = bpf_map_lookup_elem(&dirtiers, inode);
	if (!dirtier)
		return;
	*owner = *dirtier;
	owner->inferred = 1;
}

static __always_inline void note_submission(__u32 dev)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct thread *known = bpf_map_lookup_elem(&threads, &tid);
	struct thread fresh = {};

	if (known) {
		known->submitted_ns = bpf_ktime_get_ns();
		known->dev = dev;
		return;
	}
	fresh.start_ns = peek((struct task_struct *)bpf_get_current_task(), start_boottime);
	fresh.submitted_ns = bpf_ktime_get_ns();
	fresh.dev = dev;
	bpf_map_update_elem(&threads, &tid, &fresh, 0);
}

static __always_inline void note_owner(struct bio *bio)
{
	struct linnix_stall owner = {};
	__u64 key = (__u64)bio;
	__u32 dev = bio_dev(bio);

	find_owner(&owner);
	bpf_map_update_elem(&owners, &key, &owner, 0);
	if (bio->bi_opf & (REQ_PREFLUSH | REQ_FUA))
		bpf_map_update_elem(&flushers, &dev, &owner, 0);
	note_submission(dev);
}

SEC("tp_btf/block_getrq")
int handle_getrq(__u64 *ctx)
{
	note_owner(traced_bio(ctx));
	return 0;
}

/* The bio becomes the first of a request that has an owner already, who may be another: the request is of whoever
 * submitted what stands at its beginning. */
SEC("tp_btf/block_bio_frontmerge")
int handle_frontmerge(__u64 *ctx)
{
	note_owner(merged_bio(ctx));
	return 0;
}

/* The device has done with a request, or has refused it; false when its issue was not seen, or its end was already. */
static __always_inline bool end_service(struct request *request, __u64 now, __u8 how)
{
	__u64 key = (__u64)request;
	struct linnix_stall *known = bpf_map_lookup_elem(&in_flight, &key);

	if (!known || known->ts_ns)
		return false;
	known->ts_ns = now; /* for good: a deletion can fail */
	known->cause = how;
	tell(known);
	bpf_map_delete_elem(&in_flight, &key);
	return true;
}

SEC("tp_btf/block_rq_issue")
int handle_issue(__u64 *ctx)
{
	struct request *request = traced_request(ctx);
	__u64 key = (__u64)request, bio = (__u64)request->bio;
	__u32 dev = request_dev(request);
	__u32 flags = request->cmd_flags;
	struct linnix_stall record = {};
	struct linnix_stall *owner;

	/* 6.18 was seen to complete one request in a thousand, in bursts, without a tracepoint being called. */
	end_service(request, bpf_ktime_get_ns(), LINNIX_END_MISSED);
	if (bio)
		owner = bpf_map_lookup_elem(&owners, &bio);
	else
		owner = bpf_map_lookup_elem(&flushers, &dev);
	if (owner)
		record = *owner;
	record.kind = LINNIX_STALL_SERVED;
	record.begin_ns = bpf_ktime_get_ns();
	record.key = key;
	record.dev = dev;
	record.amount = request->__data_len;
	record.op = flags & REQ_OP_MASK;
	bpf_map_update_elem(&in_flight, &key, &record, 0);
	return 0;
}

static __always_inline void tell_unseen(struct request *request, __u64 now, __u32 dev)
{
	struct linnix_stall record = {};

	record.kind = LINNIX_STALL_SERVED;
	record.ts_ns = now;
	record.begin_ns = request->start_time_ns;
	record.key = (__u64)request;
	record.dev = dev;
	record.cause = LINNIX_END_UNSEEN;
	tell(&record);
}

SEC("tp_btf/block_rq_complete")
int handle_complete(__u64 *ctx)
{
	struct request *request = (void *)ctx[0];
	__u32 done = ctx[2];
	struct completion *last;
	__u64 bio, now;
	__u32 zero = 0;
	__u32 dev;

	if (done < request->__data_len) /* a part; the rest will come */
		return 0;
	now = bpf_ktime_get_ns();
	dev = request_dev(request);
	last = bpf_map_lookup_elem(&completions, &zero);
	if (last) {
		last->ts_ns = now;
		last->dev = dev;
	}
	if (!end_service(request, now, LINNIX_END_DONE))
		tell_unseen(request, now, dev);
	bio = (__u64)request->bio;
	bpf_map_delete_elem(&owners, &bio);
	return 0;
}

/* The driver had no room: nothing is served until the request is issued again. */
SEC("tp_btf/block_rq_requeue")
int handle_requeue(__u64 *ctx)
{
	end_service(traced_request(ctx), bpf_ktime_get_ns(), LINNIX_END_REFUSED);
	return 0;
}

SEC("tp_btf/sched_switch")
int handle_switch(__u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];
	struct linnix_stall wait = {};
	struct thread fresh = {};
	struct thread *known;
	__u64 run_ns, now;
	__u32 tid;

	note_run(prev, (void *)ctx[2]);
	if (!read_bits(prev, in_iowait) || !fell_asleep(ctx))
		return 0;
	tid = prev->pid;
	run_ns = prev->se.sum_exec_runtime;
	now = bpf_ktime_get_ns();
	known = bpf_map_lookup_elem(&threads, &tid);
	if (known && known->start_ns == prev->start_boottime) {
		wait.key = known->waited ? run_ns - known->run_ns : 0;
		wait.dev = now - known->submitted_ns < SUBMITTED_NS ? known->dev : 0;
		known->run_ns = run_ns;
		known->waited = 1;
	} else {
		fresh.start_ns = prev->start_boottime;
		fresh.run_ns = run_ns;
		fresh.waited = 1;
		bpf_map_update_elem(&threads, &tid, &fresh, 0);
	}
	begin_wait(prev, &wait);
	return 0;
}

/* On the CPU of the waker, where the completion that caused it has just been seen. It may come before the switch it
 * ends, while the other CPU is still on its way there, so the end itself is taken from sched_wakeup. */
SEC("tp_btf/sched_waking")
int handle_waking(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct linnix_stall *wait;
	struct completion *last;
	__u32 zero = 0;
	__u32 tid;

	if (!read_bits(task, in_iowait))
		return 0;
	last = bpf_map_lookup_elem(&completions, &zero);
	if (!last || bpf_ktime_get_ns() - last->ts_ns > WAKE_NS)
		return 0;
	tid = task->pid;
	wait = open_wait(tid);
	if (wait)
		wait->dev = last->dev;
	return 0;
}

SEC("tp_btf/sched_wakeup")
int handle_wakeup(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct linnix_stall *wait;
	__u32 tid;

	if (!read_bits(task, in_iowait))
		return 0;
	tid = task->pid;
	wait = open_wait(tid);
	if (wait)
		end_wait(tid, wait);
	return 0;
}

static __always_inline int note_dirtier(__u64 *ctx)
{
	struct address_space *mapping = (void *)ctx[1];
	struct linnix_stall dirtier = {};
	struct linnix_stall *known;
	__u64 inode;

	if (!mapping)
		return 0;
	inode = (__u64)mapping->host;
	if (is_kernel_thread()) /* found dirty by the writeback itself: written through a mapping, nobody knows by whom */
		return 0;
	known = bpf_map_lookup_elem(&dirtiers, &inode);
	if (known && known->tid == (__u32)bpf_get_current_pid_tgid())
		return 0;
	name_current(&dirtier);
	bpf_map_update_elem(&dirtiers, &inode, &dirtier, 0);
	return 0;
}

SEC("tp_btf/writeback_dirty_folio")
int handle_dirty(__u64 *ctx)
{
	return note_dirtier(ctx);
}

/* Before 5.16, b9b0ff61eef5 "mm/writeback: Convert tracing writeback_page_template to folios". */
SEC("tp_btf/writeback_dirty_page")
int handle_dirty_page(__u64 *ctx)
{
	return note_dirtier(ctx);
}

SEC("tp_btf/writeback_single_inode_start")
int handle_inode_start(__u64 *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 inode = ctx[0];

	bpf_map_update_elem(&writing, &tid, &inode, 0);
	return 0;
}

SEC("tp_btf/writeback_single_inode")
int handle_inode_end(void *ctx __attribute__((unused)))
{
	__u32 tid = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&writing, &tid);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
