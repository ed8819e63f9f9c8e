/* Has the kernel make N workers: one for each opening, through io_uring, of a FIFO that nobody writes. No clone(2) is
 * called for them. The kernel makes at most four a CPU.
 *
 *   uring N FOLDER      makes the FIFOs in FOLDER; prints how many threads it had when all were there, itself included
 *
 * Exit code 77: there is no io_uring here.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH 64

static char paths[DEPTH][4096];

static int threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *entry;
	int count = 0;

	while ((entry = readdir(tasks)))
		count += entry->d_name[0] != '.';
	closedir(tasks);
	return count;
}

int main(int argc, char **argv)
{
	struct io_uring_params params = {0};
	struct io_uring_sqe *entries;
	unsigned *tail, *mask, *array;
	char *ring;
	int fd, count, seen = 0;

	if (argc != 3)
		return 2;
	count = atoi(argv[1]);
	fd = syscall(SYS_io_uring_setup, DEPTH, &params);
	if (fd < 0)
		return 77;
	ring = mmap(NULL, params.sq_off.array + params.sq_entries * sizeof(unsigned), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_POPULATE, fd, IORING_OFF_SQ_RING);
	entries = mmap(NULL, params.sq_entries * sizeof(*entries), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd,
		       IORING_OFF_SQES);
	if (ring == MAP_FAILED || entries == MAP_FAILED || count < 1 || count > DEPTH)
		return 1;
	tail = (unsigned *)(ring + params.sq_off.tail);
	mask = (unsigned *)(ring + params.sq_off.ring_mask);
	array = (unsigned *)(ring + params.sq_off.array);
	for (int i = 0; i < count; i++) {
		unsigned at = *tail & *mask;

		snprintf(paths[i], sizeof(paths[i]), "%s/%d", argv[2], i);
		if (mkfifo(paths[i], 0600))
			return 1;
		memset(&entries[at], 0, sizeof(entries[at]));
		entries[at].opcode = IORING_OP_OPENAT;
		entries[at].flags = IOSQE_ASYNC;
		entries[at].fd = AT_FDCWD;
		entries[at].addr = (unsigned long)paths[i];
		entries[at].open_flags = O_RDONLY;
		array[at] = at;
		__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	}
	if (syscall(SYS_io_uring_enter, fd, count, 0, 0, NULL, 0) != count)
		return 1;
	for (int tries = 0; tries < 5000 && (seen = threads()) <= count; tries++)
		usleep(1000);
	for (int i = 0; i < count; i++)
		if (open(paths[i], O_WRONLY) < 0)
			return 1;
	printf("%d\n", seen);
	return syscall(SYS_io_uring_enter, fd, 0, count, IORING_ENTER_GETEVENTS, NULL, 0) < 0;
}
