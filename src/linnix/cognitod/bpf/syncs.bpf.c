// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * How often every process asks for data to be on disk.
 *
 * fsync, fdatasync and msync with MS_SYNC come to the file system through vfs_fsync_range() (fs/sync.c), and so does
 * every write to a file that was opened with O_SYNC or O_DSYNC, through generic_write_sync(): in the context of who
 * asked. Each file system traces it by itself, at the beginning; programs whose tracepoint is not here are not loaded.
 */
#include "linnix_core.bpf.h"
#include "read.bpf.h"
#include "sights.h"

#define MAX_PROCESSES 4096

/* User space takes out what it reads. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MAX_PROCESSES);
	__type(key, struct linnix_sync_key);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct linnix_sync_books);
} books SEC(".maps");

static __always_inline int count_sync(void)
{
	struct linnix_sync_key key = {};
	struct linnix_sync_books *book;
	__u64 none = 0, *mine;
	__u32 zero = 0;

	key.pid = bpf_get_current_pid_tgid() >> 32;
	key.start_ns = peek_start_ns((void *)bpf_get_current_task());
	mine = bpf_map_lookup_elem(&counts, &key);
	if (!mine) {
		bpf_map_update_elem(&counts, &key, &none, BPF_NOEXIST);
		mine = bpf_map_lookup_elem(&counts, &key);
	}
	if (mine)
		add_up(mine, 1);
	book = bpf_map_lookup_elem(&books, &zero);
	if (book) {
		add_up(&book->calls, 1);
		if (!mine)
			add_up(&book->lost, 1);
	}
	return 0;
}

SEC("tp_btf/ext4_sync_file_enter")
int handle_ext4(void *ctx __attribute__((unused)))
{
	return count_sync();
}

SEC("tp_btf/xfs_file_fsync")
int handle_xfs(void *ctx __attribute__((unused)))
{
	return count_sync();
}

SEC("tp_btf/btrfs_sync_file")
int handle_btrfs(void *ctx __attribute__((unused)))
{
	return count_sync();
}

SEC("tp_btf/f2fs_sync_file_enter")
int handle_f2fs(void *ctx __attribute__((unused)))
{
	return count_sync();
}

char LICENSE[] SEC("license") = "GPL";
