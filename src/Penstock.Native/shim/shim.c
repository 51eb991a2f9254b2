/*
 * For LD_PRELOAD: lets a program that calls getsockopt(2) or sendfile(2) itself reach the sockets of libpenstock, whose descriptors are the null device to the
 * kernel. The library finds penstock_shim_set when it is loaded and leaves two functions there; calls for other descriptors, and all calls without it, go to
 * the C library. It is a library of its own because the symbols of libpenstock have a version and would not stand in for the C library's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

/* Both set *handled when the descriptor is the library's; result and errno are then the call's. */
typedef int (*getsockopt_hook)(int fd, int level, int name, void *value, socklen_t *length, int *handled);
typedef ssize_t (*sendfile_hook)(int to, int from, off_t *offset, size_t count, int *handled);

static _Atomic(getsockopt_hook) hooked_getsockopt;
static _Atomic(sendfile_hook) hooked_sendfile;

void penstock_shim_set(getsockopt_hook on_getsockopt, sendfile_hook on_sendfile)
{
	atomic_store(&hooked_getsockopt, on_getsockopt);
	atomic_store(&hooked_sendfile, on_sendfile);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict length)
{
	static int (*original)(int, int, int, void *, socklen_t *);
	getsockopt_hook hook = atomic_load(&hooked_getsockopt);

	if (hook != NULL) {
		int handled = 0;
		int result = hook(fd, level, name, value, length, &handled);

		if (handled)
			return result;
	}
	if (original == NULL)
		original = (int (*)(int, int, int, void *, socklen_t *))dlsym(RTLD_NEXT, "getsockopt");
	return original(fd, level, name, value, length);
}

ssize_t sendfile(int to, int from, off_t *offset, size_t count)
{
	static ssize_t (*original)(int, int, off_t *, size_t);
	sendfile_hook hook = atomic_load(&hooked_sendfile);

	if (hook != NULL) {
		int handled = 0;
		ssize_t result = hook(to, from, offset, count, &handled);

		if (handled)
			return result;
	}
	if (original == NULL)
		original = (ssize_t (*)(int, int, off_t *, size_t))dlsym(RTLD_NEXT, "sendfile");
	return original(to, from, offset, count);
}
