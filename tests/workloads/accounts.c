/* Does as many of one thing as it is told, line by line on its standard input, and answers each with "ok".
 *
 *   faults N     touches N pages of its own for the first time
 *   shared N     the same, of memory shared with nobody yet
 *   major N      touches N pages of FILE that are not in memory, one by one
 *   files N      opens N files more, half of them above the first 200
 *   threads N    starts N threads that wait for ever
 *   burst N      starts and joins N threads, each of which touches a page, gives its CPU away and burns 1 ms
 *   write N      writes N blocks to FILE past the page cache
 *   read N       reads N blocks from FILE past the page cache
 *   cancel N     writes N pages to a file beside FILE and truncates it before they reach the disk
 *   sleep N      sleeps N times
 *   spin N       burns N ms of CPU
 *   leave 0      the first thread exits; another answers from now on
 *
 *   accounts FILE
 *
 * What touches pages and files is done before the first line is read, so that a fault is one that was asked for.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096 };
static const char *path;
static long page;

static void check(int fine, const char *what)
{
	if (!fine) {
		perror(what);
		_exit(1);
	}
}

static void touch(long pages, int sharing)
{
	char *memory = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, sharing | MAP_ANONYMOUS, -1, 0);

	check(memory != MAP_FAILED, "mmap");
	madvise(memory, pages * page, MADV_NOHUGEPAGE);
	for (long i = 0; i < pages; i++)
		((volatile char *)memory)[i * page] = 1;
}

static void major(long pages)
{
	int file = open(path, O_RDONLY);
	char *memory = mmap(NULL, pages * page, PROT_READ, MAP_SHARED, file, 0);
	char sum = 0;

	check(memory != MAP_FAILED, "mmap of FILE");
	madvise(memory, pages * page, MADV_RANDOM);
	check(!fsync(file), "fsync");
	check(!posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), "fadvise");
	for (long i = 0; i < pages; i++)
		sum += ((volatile char *)memory)[i * page];
	munmap(memory, pages * page);
	close(file);
	(void)sum;
}

static void files(long count)
{
	int first = open("/dev/null", O_RDONLY);

	for (long i = 1; i < count; i++)
		check(fcntl(first, F_DUPFD, i % 2 ? 200 : 0) >= 0, "dup");
}

static void burn(long ms)
{
	struct timespec begin, now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	while ((now.tv_sec - begin.tv_sec) * 1000000000L + now.tv_nsec - begin.tv_nsec < ms * 1000000L);
}

static void doze(long times)
{
	struct timespec moment = {0, 100000};

	while (times--)
		nanosleep(&moment, NULL);
}

static void *wait_for_ever(void *unused)
{
	pause();
	return unused;
}

static void *live_briefly(void *unused)
{
	touch(1, MAP_PRIVATE);
	doze(1);
	burn(1);
	return unused;
}

static void move(long blocks, int flags)
{
	static char buffer[BLOCK] __attribute__((aligned(BLOCK)));
	int file = open(path, flags | O_DIRECT | O_CREAT, 0600);

	check(file >= 0, "open with O_DIRECT");
	for (long i = 0; i < blocks; i++)
		check((flags == O_WRONLY ? write(file, buffer, BLOCK) : read(file, buffer, BLOCK)) == BLOCK, "transfer");
	close(file);
}

static void cancel(long pages)
{
	static char buffer[65536];
	char beside[4096];
	int file;

	snprintf(beside, sizeof(beside), "%s.cancelled", path);
	file = open(beside, O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (long i = 0; i < pages; i++)
		check(write(file, buffer, page) == page, "write");
	check(!ftruncate(file, 0), "ftruncate");
	close(file);
}

static void start(long count, void *(*body)(void *), int joined)
{
	pthread_t thread;

	while (count--) {
		check(!pthread_create(&thread, NULL, body, NULL), "thread");
		if (joined)
			pthread_join(thread, NULL);
	}
}

static void *serve(void *unused);

static void obey(const char *what, long n)
{
	if (!strcmp(what, "faults"))
		touch(n, MAP_PRIVATE);
	else if (!strcmp(what, "shared"))
		touch(n, MAP_SHARED);
	else if (!strcmp(what, "major"))
		major(n);
	else if (!strcmp(what, "files"))
		files(n);
	else if (!strcmp(what, "threads"))
		start(n, wait_for_ever, 0);
	else if (!strcmp(what, "burst"))
		start(n, live_briefly, 1);
	else if (!strcmp(what, "write"))
		move(n, O_WRONLY);
	else if (!strcmp(what, "read"))
		move(n, O_RDONLY);
	else if (!strcmp(what, "cancel"))
		cancel(n);
	else if (!strcmp(what, "sleep"))
		doze(n);
	else if (!strcmp(what, "spin"))
		burn(n);
	else if (!strcmp(what, "leave")) {
		start(1, serve, 0);
		syscall(SYS_exit, 0);
	} else
		_exit(2);
}

static void *serve(void *unused)
{
	static char line[64], what[64];
	long n;

	check(write(1, "ok\n", 3) == 3, "answer");
	for (;;) {
		long length = read(0, line, sizeof(line) - 1);

		if (length <= 0)
			_exit(0);
		line[length] = 0;
		check(sscanf(line, "%63s %ld", what, &n) == 2, "a line");
		obey(what, n);
		check(write(1, "ok\n", 3) == 3, "answer");
	}
	return unused;
}

int main(int argc, char **argv)
{
	const char *all[] = {"faults", "shared", "write", "read", "major", "cancel", "sleep", "spin"};
	if (argc != 2)
		return 2;
	path = argv[1];
	page = sysconf(_SC_PAGESIZE);
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		obey(all[i], 2);
	serve(NULL);
}
