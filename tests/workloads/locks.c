/* Threads that sleep, for reasons that look alike from outside.
 *
 *   locks mutex N       N threads that hold one mutex in turn, each for half a millisecond
 *   locks rwlock N      the same with a read-write lock that all want to write
 *   locks pool N        N threads that wait for work at one condition variable, and get a piece every millisecond
 *   locks idle N        N threads that wait at a condition variable for work that never comes; the first switches often
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static long pieces;

static void *hold_mutex(void *unused)
{
	for (;;) {
		pthread_mutex_lock(&mutex);
		usleep(500);
		pthread_mutex_unlock(&mutex);
	}
	return unused;
}

static void *hold_rwlock(void *unused)
{
	for (;;) {
		pthread_rwlock_wrlock(&rwlock);
		usleep(500);
		pthread_rwlock_unlock(&rwlock);
	}
	return unused;
}

static void *serve(void *unused)
{
	for (;;) {
		pthread_mutex_lock(&mutex);
		while (!pieces)
			pthread_cond_wait(&work, &mutex);
		pieces--;
		pthread_mutex_unlock(&mutex);
	}
	return unused;
}

int main(int count, char **words)
{
	void *(*body)(void *) = serve;
	pthread_t thread;

	if (count != 3)
		return 2;
	if (!strcmp(words[1], "mutex"))
		body = hold_mutex;
	else if (!strcmp(words[1], "rwlock"))
		body = hold_rwlock;
	for (int left = atoi(words[2]); left; left--)
		if (pthread_create(&thread, NULL, body, NULL))
			return 1;
	for (;;) {
		usleep(1000);
		if (strcmp(words[1], "pool"))
			continue;
		pthread_mutex_lock(&mutex);
		pieces++;
		pthread_cond_signal(&work);
		pthread_mutex_unlock(&mutex);
	}
}
