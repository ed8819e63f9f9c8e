/* A fork bomb with a fuse: a tree of processes that fork as fast as they can.
 *
 *   bomb WIDTH SECONDS      at most WIDTH of them at a time below each; all end after SECONDS
 *
 * Every process forks children that fork once more and exit; the parent waits for those that have ended.
 */
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	int width, below = 0;
	double end;

	if (argc != 3)
		return 2;
	width = atoi(argv[1]);
	end = now() + atof(argv[2]);
	while (now() < end) {
		pid_t pid = below < width ? fork() : -1;

		if (!pid) {
			if (!fork())
				_exit(0);
			wait(NULL);
			_exit(0);
		}
		if (pid > 0)
			below++;
		while (below && waitpid(-1, NULL, below < width ? WNOHANG : 0) > 0)
			below--;
	}
	while (wait(NULL) > 0)
		;
	return 0;
}
