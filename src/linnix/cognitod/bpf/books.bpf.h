/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The books of the lifecycle programs: what reached a ring, what did not, and what never was meant to.
 *
 * Everything is cumulative since attach and kept per CPU. What is attempted is counted exactly once, as produced or as
 * lost, so that user space can prove that it saw all there was.
 */
#ifndef LINNIX_BOOKS_BPF_H
#define LINNIX_BOOKS_BPF_H

#include "linnix_core.bpf.h"
#include "event.h"

#define RECORD_HEADER 8

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct linnix_books);
} books SEC(".maps");

/* Atomic though per CPU: a program may be preempted on kernels with preemptible tracepoints. */
static __always_inline void add(__u64 *counter, __u64 amount)
{
	add_up(counter, amount);
}

static __always_inline void count(__u64 *counter)
{
	add(counter, 1);
}

static __always_inline struct linnix_books *my_books(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&books, &zero);
}

static __always_inline void count_produced(__u32 kind)
{
	struct linnix_books *mine = my_books();

	if (mine)
		count(&mine->produced[kind]);
}

static __always_inline void count_lost(__u32 kind)
{
	struct linnix_books *mine = my_books();

	if (mine)
		count(&mine->lost[kind]);
}

/* Wake the reader once for every eighth of the ring that is waiting, and not for less. A crossing that two CPUs race
 * over may be missed: the reader comes by itself within its timeout, and the next eighth wakes it again. */
static __always_inline __u64 wake_flag(void *ring, __u64 ring_bytes, __u64 record_bytes)
{
	__u64 waiting = bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA);
	__u64 step = ring_bytes / 8;

	return waiting >= step && (waiting & (step - 1)) < record_bytes ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

#endif
