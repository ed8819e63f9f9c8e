// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * How long block devices took to serve requests, by cgroup: from the hand-over to the driver (block_rq_issue) to the
 * end of its last part (block_rq_complete). Time in a scheduler's or a throttle's queue before that is not in it.
 */
#include "linnix_core.bpf.h"
#include "task.bpf.h"
#include "block.bpf.h"
#include "read.bpf.h"
#include "latency.bpf.h"

#define MAX_IN_FLIGHT 16384
/* include/linux/blk_types.h: from REQ_OP_DRV_IN on it is a command of the driver's own, not data */
#define REQ_OP_DRV_IN 34

struct issued {
	__u64 ts_ns;
	__u64 cgroup_id;
};

/* Not preallocated: a device has a few hundred requests in flight, a large array of them some ten thousand. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, MAX_IN_FLIGHT);
	__type(key, __u64);
	__type(value, struct issued);
} in_flight SEC(".maps");

/* Whose data it is, where the io controller tells cgroups of version 2 apart. On a v1 hierarchy its cgroups have ids of
 * their own; where it is not enabled all data is the root's; and it may not be there at all, without CONFIG_BLK_CGROUP.
 * Then whoever handed the request over must do. */
#define ROOT_CGROUP 1

static __always_inline __u64 request_cgroup_id(struct request *request)
{
	struct cgroup *owner;

	if (field_exists(struct bio, bi_blkg)) {
		owner = ((struct bio *)stay_here(request->bio))->bi_blkg->blkcg->css.cgroup;
		if (owner->kn->id > ROOT_CGROUP && !owner->root->hierarchy_id)
			return owner->kn->id;
	}
	return peek_cgroup_id((void *)bpf_get_current_task());
}

SEC("tp_btf/block_rq_issue")
int handle_issue(__u64 *ctx)
{
	struct request *request = traced_request(ctx);
	struct issued now = {};
	__u64 key = (__u64)request;

	if ((request->cmd_flags & REQ_OP_MASK) >= REQ_OP_DRV_IN)
		return 0;
	now.ts_ns = bpf_ktime_get_ns();
	now.cgroup_id = request_cgroup_id(request);
	bpf_map_update_elem(&in_flight, &key, &now, 0);
	return 0;
}

SEC("tp_btf/block_rq_complete")
int handle_complete(__u64 *ctx)
{
	struct request *request = (void *)ctx[0];
	unsigned int done = ctx[2];
	__u64 key = (__u64)request;
	struct issued *issued;

	if (done < request->__data_len) /* a part; the rest will come */
		return 0;
	issued = bpf_map_lookup_elem(&in_flight, &key);
	if (!issued)
		return 0;
	count_latency(issued->cgroup_id, bpf_ktime_get_ns() - issued->ts_ns);
	bpf_map_delete_elem(&in_flight, &key);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
