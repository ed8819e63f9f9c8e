/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The memory of a process, by kind: exact on every kernel that counts exactly, and said where one does not.
 */
#ifndef LINNIX_MEMORY_BPF_H
#define LINNIX_MEMORY_BPF_H

#include "linnix_core.bpf.h"
#include "event.h"
#include "task.bpf.h"

#define MAX_CPUS 1024

/* Its only use is to know where each CPU's copy of per-CPU data lies: __per_cpu_offset is in no BTF, and in kallsyms
 * only where data symbols are. One known per-CPU pointer and its address on a CPU give the distance. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} landmark SEC(".maps");

/* How far each possible CPU's copy lies from a per-CPU pointer: found once, because it never changes. */
struct distances {
	__u64 cpus; /* 0 until they are known */
	__u64 of[MAX_CPUS];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct distances);
} distances SEC(".maps");

static __always_inline void find_distances(struct distances *all)
{
	__u64 array = as_number(&landmark);
	__u64 origin = 0;
	__u32 key = 0;
	__u32 cpu;

	bpf_probe_read_kernel(&origin, sizeof(origin), (void *)(array + field_offset(struct bpf_array, pptrs)));
	for (cpu = 0; cpu < MAX_CPUS; cpu++) {
		void *copy = bpf_map_lookup_percpu_elem(&landmark, &key, cpu);

		if (!copy)
			break;
		all->of[cpu] = as_number(copy) - origin;
	}
	all->cpus = cpu;
}

static __always_inline __u64 not_negative(__s64 pages)
{
	return pages > 0 ? pages : 0;
}

/* What the CPUs have not handed in of one counter. */
static __always_inline __s64 held_back(const __s32 *shares, const struct distances *all)
{
	__s64 pages = 0;

	for (__u32 cpu = 0; cpu < MAX_CPUS && cpu < all->cpus; cpu++) {
		__s32 share = 0;

		bpf_probe_read_kernel(&share, sizeof(share), (void *)((__u64)shares + all->of[cpu]));
		pages += share;
	}
	return pages;
}

/* A percpu_counter's count lags by what its CPUs have not handed in: up to 2 * CPUs (at least 32) pages each. The four of
 * an mm lie side by side since 6.6, "kernel/fork: group allocation/free of per-cpu counters for mm struct": then one read
 * a CPU tells all. */
static __always_inline void sum_counters(struct mm_struct *mm, struct linnix_task *record)
{
	const __s32 *file = mm->rss_stat[MM_FILEPAGES].counters;
	const __s32 *anon = mm->rss_stat[MM_ANONPAGES].counters;
	const __s32 *swap = mm->rss_stat[MM_SWAPENTS].counters;
	const __s32 *shmem = mm->rss_stat[MM_SHMEMPAGES].counters;
	__s64 held[4] = {};
	struct distances *all;
	__u32 zero = 0;

	all = bpf_map_lookup_elem(&distances, &zero);
	if (!all)
		return;
	if (!all->cpus)
		find_distances(all);
	if ((__u64)anon - (__u64)file == 4 && (__u64)swap - (__u64)file == 8 && (__u64)shmem - (__u64)file == 12) {
		for (__u32 cpu = 0; cpu < MAX_CPUS && cpu < all->cpus; cpu++) {
			__s32 shares[4] = {};

			bpf_probe_read_kernel(shares, sizeof(shares), (void *)((__u64)file + all->of[cpu]));
			held[MM_FILEPAGES] += shares[MM_FILEPAGES];
			held[MM_ANONPAGES] += shares[MM_ANONPAGES];
			held[MM_SWAPENTS] += shares[MM_SWAPENTS];
			held[MM_SHMEMPAGES] += shares[MM_SHMEMPAGES];
		}
	} else {
		held[MM_FILEPAGES] = held_back(file, all);
		held[MM_ANONPAGES] = held_back(anon, all);
		held[MM_SWAPENTS] = held_back(swap, all);
		held[MM_SHMEMPAGES] = held_back(shmem, all);
	}
	record->file_pages = not_negative(mm->rss_stat[MM_FILEPAGES].count + held[MM_FILEPAGES]);
	record->anon_pages = not_negative(mm->rss_stat[MM_ANONPAGES].count + held[MM_ANONPAGES]);
	record->swap_pages = not_negative(mm->rss_stat[MM_SWAPENTS].count + held[MM_SWAPENTS]);
	record->shmem_pages = not_negative(mm->rss_stat[MM_SHMEMPAGES].count + held[MM_SHMEMPAGES]);
}

/* Before 6.2 a thread kept up to 64 pages a counter to itself. This thread's are added; those of its siblings are not. */
static __always_inline __u64 read_counter(const atomic_long_t *shared, const int *own)
{
	__s64 pages = 0;
	int kept = 0;

	bpf_probe_read_kernel(&pages, sizeof(pages), &shared->counter);
	bpf_probe_read_kernel(&kept, sizeof(kept), own);
	return not_negative(pages + kept);
}

/* Indices written out, because only a constant one is relocated to the kernel's size of an element. */
static __always_inline void read_memory(struct task_struct *task, struct mm_struct *mm, struct linnix_task *record)
{
	struct mm_struct___before_6_2 *old;
	struct task_struct___before_6_2 *own;

	record->pgtables_bytes = mm->pgtables_bytes.counter;
	if (!field_exists(struct mm_rss_stat, count)) {
		sum_counters(mm, record);
		return;
	}
	old = stay_here(mm);
	own = stay_here(task);
	record->file_pages = read_counter(&old->rss_stat.count[MM_FILEPAGES], &own->rss_stat.count[MM_FILEPAGES]);
	record->anon_pages = read_counter(&old->rss_stat.count[MM_ANONPAGES], &own->rss_stat.count[MM_ANONPAGES]);
	record->swap_pages = read_counter(&old->rss_stat.count[MM_SWAPENTS], &own->rss_stat.count[MM_SWAPENTS]);
	record->shmem_pages = read_counter(&old->rss_stat.count[MM_SHMEMPAGES], &own->rss_stat.count[MM_SHMEMPAGES]);
}

#endif
