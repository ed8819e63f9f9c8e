/* vfork SECONDS: the parent sleeps uninterruptibly, as vfork(2) has it, until its child is gone. */
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	pid_t child;

	if (argc != 2)
		return 2;
	child = vfork();
	if (child == 0) {
		sleep(atoi(argv[1]));
		_exit(0);
	}
	return child < 0;
}
