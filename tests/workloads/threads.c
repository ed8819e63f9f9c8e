/* Processes whose threads behave as a naive observer does not expect.
 *
 *   threads many N          starts and joins N threads one after another, then exits with 0
 *   threads leader-first    the first thread exits; another burns CPU for 100 ms and exits the process with 3
 *   threads exec PROGRAM    a thread that is not the first execs PROGRAM
 *   threads crowd N         N threads wait while the first exits the process with 5: all of them die at once
 *   threads drain N         N threads and the first exit by themselves, all at once; nobody exits the process
 *   threads sibling         makes a child that belongs to its own parent (CLONE_PARENT); prints the child's pid
 *   threads die SIGNAL      kills itself
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static pthread_barrier_t barrier;
static pthread_t first;

static void *nothing(void *unused)
{
	return unused;
}

static void *outlive(void *unused)
{
	struct timespec used;

	(void)unused;
	pthread_join(first, NULL);
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	while (!used.tv_sec && used.tv_nsec < 100 * 1000 * 1000);
	exit(3);
}

static void *run(void *program)
{
	execl(program, program, "quit", (char *)NULL);
	exit(127);
}

static void *wait_for_death(void *unused)
{
	pthread_barrier_wait(&barrier);
	pause();
	return unused;
}

static void *leave(void *unused)
{
	(void)unused;
	pthread_barrier_wait(&barrier);
	syscall(SYS_exit, 0);
	return NULL;
}

static void start(int count, void *(*body)(void *), void *argument)
{
	pthread_attr_t small;
	pthread_t thread;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	while (count--)
		if (pthread_create(&thread, &small, body, argument))
			exit(1);
}

static void crowd(int count, void *(*body)(void *))
{
	pthread_barrier_init(&barrier, NULL, count + 1);
	start(count, body, NULL);
	pthread_barrier_wait(&barrier);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	pthread_t thread;

	first = pthread_self();
	if (!strcmp(what, "many")) {
		for (int i = atoi(argv[2]); i > 0; i--)
			if (pthread_create(&thread, NULL, nothing, NULL) || pthread_join(thread, NULL))
				return 1;
		return 0;
	}
	if (!strcmp(what, "leader-first")) {
		start(1, outlive, NULL);
		pthread_exit(NULL);
	}
	if (!strcmp(what, "exec")) {
		start(1, run, argv[2]);
		pause();
	}
	if (!strcmp(what, "crowd")) {
		crowd(atoi(argv[2]), wait_for_death);
		exit(5);
	}
	if (!strcmp(what, "drain")) {
		crowd(atoi(argv[2]), leave);
		syscall(SYS_exit, 0);
	}
	if (!strcmp(what, "sibling")) {
		long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL);

		if (!pid)
			_exit(0);
		printf("%ld\n", pid);
		return pid < 0;
	}
	if (!strcmp(what, "die"))
		raise(atoi(argv[2]));
	return 2;
}
