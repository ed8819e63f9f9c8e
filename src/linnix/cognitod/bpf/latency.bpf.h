/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * A histogram for each cgroup and CPU, in memory that user space maps: counting is one lookup and two additions, and
 * reading costs no system call. A CPU writes only what is its own. At most LINNIX_HISTOGRAMS cgroups have a place on a
 * CPU; what finds none within four steps is counted with the rest.
 */
#ifndef LINNIX_LATENCY_BPF_H
#define LINNIX_LATENCY_BPF_H

#include "linnix_core.bpf.h"
#include "sights.h"

#define HISTOGRAM_STEPS 4

/* One value a CPU: user space sets max_entries to the number of possible CPUs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct linnix_histograms);
} histograms SEC(".maps");

static __always_inline __u32 class_of(__u64 ns)
{
	__u64 wide = ns >> 10;
	__u32 v = wide > 0xffffffff ? 0xffffffff : wide;
	__u32 class = 1, step;

	if (!v)
		return 0;
	step = (v > 0xffff) << 4;
	v >>= step;
	class += step;
	step = (v > 0xff) << 3;
	v >>= step;
	class += step;
	step = (v > 0xf) << 2;
	v >>= step;
	class += step;
	step = (v > 0x3) << 1;
	v >>= step;
	class += step + (v >> 1);
	return class < LINNIX_COUNTS ? class : LINNIX_COUNTS - 1;
}

static __always_inline struct linnix_histogram *histogram_of(struct linnix_histograms *mine, __u64 cgroup_id)
{
	/* Ids of cgroups made one after the other differ by the number of their files; the multiplication spreads them. */
	__u32 at = cgroup_id * 0x9e3779b97f4a7c15ULL >> 57;

#pragma unroll
	for (__u32 step = 0; step < HISTOGRAM_STEPS; step++) {
		struct linnix_histogram *slot = &mine->slots[(at + step) & (LINNIX_HISTOGRAMS - 1)];

		if (slot->cgroup_id == cgroup_id)
			return slot;
		if (!slot->cgroup_id) {
			slot->cgroup_id = cgroup_id;
			return slot;
		}
	}
	return &mine->rest;
}

/* Not atomic: where an interrupt that counts in the same map comes in between, one count is lost. */
static __always_inline void count_latency(__u64 cgroup_id, __u64 ns)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct linnix_histograms *mine = bpf_map_lookup_elem(&histograms, &cpu);
	struct linnix_histogram *slot;
	__u32 class = class_of(ns);

	if (!mine)
		return;
	slot = histogram_of(mine, cgroup_id);
	slot->sum_ns += ns;
	mine->total++;
	/* What clang knows of the bound the verifier of 5.10 may not. */
	asm volatile("" : "+r"(class));
	if (class < LINNIX_COUNTS)
		slot->counts[class]++;
}

#endif
