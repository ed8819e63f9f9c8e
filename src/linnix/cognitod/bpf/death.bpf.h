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

/* By the address of the task: its ids may change while it dies, when another thread of its group calls exec. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 65536);
	__type(key, struct task_struct *);
	__type(value, struct used);
} dead SEC(".maps");

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

	bpf_map_update_elem(&dead, &task, &used, BPF_NOEXIST);
	book(&used);
}

static __always_inline void note_burial(struct task_struct *task)
{
	struct used *before = bpf_map_lookup_elem(&dead, &task);
	struct used more;

	if (!before)
		return;
	more = used_by(task);
	more.run_ns -= before->run_ns;
	more.read_bytes -= before->read_bytes;
	more.write_bytes -= before->write_bytes;
	bpf_map_delete_elem(&dead, &task);
	book(&more);
}

#endif
