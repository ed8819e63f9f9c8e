/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the dead have used, in the books of this CPU.
 *
 * Between its end and the moment at which it is freed a task is for some milliseconds in no list that anybody could
 * walk. So it is in the books from its exit on, and not among the living any more (clocks.bpf.h); what it uses on
 * its way out is added when it is freed. Who exited before these programs were attached is in neither.
 */
#ifndef LINNIX_DEATH_BPF_H
#define LINNIX_DEATH_BPF_H

#include "books.bpf.h"
#include "task.bpf.h"

struct used {
	__u64 run_ns;
	__u64 read_bytes;
	__u64 write_bytes;
};

/* By the address of the task: its ids may change while it dies, when another thread of its group calls exec. A place for
 * each of so many addresses, because a hash would cost more than all the rest. Who finds his place taken, one in a
 * hundred while a hundred are dying, is not remembered: what he uses on his way out is missing. */
#define GRAVES 8192

struct grave {
	__u64 task; /* 0: free */
	struct used used;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GRAVES);
	__type(key, __u32);
	__type(value, struct grave);
} graves SEC(".maps");

static __always_inline struct grave *grave_of(__u64 address)
{
	__u32 place = address * 0x9e3779b97f4a7c15ULL >> 51;

	return bpf_map_lookup_elem(&graves, &place);
}

static __always_inline struct used used_by(struct task_struct *task)
{
	return (struct used){
		.run_ns = task->se.sum_exec_runtime,
		.read_bytes = task_read_bytes(task),
		.write_bytes = task_write_bytes(task),
	};
}

static __always_inline void book(const struct used *used)
{
	struct linnix_books *mine = my_books();

	if (!mine)
		return;
	add(&mine->buried_run_ns, used->run_ns);
	if (used->read_bytes)
		add(&mine->buried_read_bytes, used->read_bytes);
	if (used->write_bytes)
		add(&mine->buried_write_bytes, used->write_bytes);
}

static __always_inline void note_death(struct task_struct *task)
{
	struct used used = used_by(task);
	__u64 address = as_number(task);
	struct grave *grave = grave_of(address);

	if (grave && !grave->task) {
		grave->used = used;
		grave->task = address;
	}
	book(&used);
}

static __always_inline void note_burial(struct task_struct *task)
{
	__u64 address = as_number(task);
	struct grave *grave = grave_of(address);
	struct used more;

	if (!grave || grave->task != address)
		return;
	more = used_by(task);
	more.run_ns -= grave->used.run_ns;
	more.read_bytes -= grave->used.read_bytes;
	more.write_bytes -= grave->used.write_bytes;
	grave->task = 0;
	book(&more);
}

#endif
