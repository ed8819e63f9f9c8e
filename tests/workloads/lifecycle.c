/* Forks children one after another and logs each: `pid ppid end comm status`.
 *
 *   lifecycle FORKS EXECS FAILURES EXECUTABLE      (EXECS + FAILURES <= FORKS)
 *
 * `end` is what the child did: `exec` ran EXECUTABLE, `fail` tried a program that does not exist and exits 127, `quit`
 * exited by itself with 0 to 6. `comm` is its name at the end, `status` its exit code. The three kinds are spread evenly.
 * As its first line it logs itself: `pid 0 self comm 0`.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const ENDS[] = {"exec", "fail", "quit"};
enum { EXEC, FAIL, QUIT };

/* True `part` times in `whole` calls, evenly spread. */
static int due(long *account, long part, long whole)
{
	*account += part;
	if (*account < whole)
		return 0;
	*account -= whole;
	return 1;
}

static void child(int end, char *executable, long i)
{
	char *argv[] = {executable, "quit", NULL};
	char *nothing[] = {"nothing", NULL};

	if (end == EXEC)
		execv(executable, argv);
	else if (end == FAIL)
		execv("/nonexistent/nothing", nothing);
	else
		_exit(i % 7);
	_exit(127);
}

int main(int argc, char **argv)
{
	long forks, execs, failures, exec_account = 0, fail_account = 0;
	char own[17] = "";
	const char *base;

	if (argc == 2 && !strcmp(argv[1], "quit"))
		return 0;
	if (argc != 5)
		return 2;
	forks = atol(argv[1]), execs = atol(argv[2]), failures = atol(argv[3]);
	base = strrchr(argv[4], '/') ? strrchr(argv[4], '/') + 1 : argv[4];
	prctl(PR_GET_NAME, own);
	printf("%d 0 self %s 0\n", getpid(), own);
	for (long i = 0; i < forks; i++) {
		int end = QUIT, status;
		pid_t pid;

		if (due(&exec_account, execs, forks))
			end = EXEC;
		/* spread over those that do not exec, so that the two never fall on one child */
		else if (due(&fail_account, failures, forks - execs))
			end = FAIL;
		pid = fork();
		if (pid < 0) {
			perror("fork");
			return 1;
		}
		if (!pid)
			child(end, argv[4], i);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			;
		printf("%d %d %s %s %d\n", pid, getpid(), ENDS[end], end == EXEC ? base : own,
		       WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	}
	return 0;
}
