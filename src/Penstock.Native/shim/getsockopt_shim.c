/*
 * For LD_PRELOAD: lets a program that calls getsockopt(2) itself see the sockets of libpenstock, whose descriptors are the null device to the
 * kernel. The library finds penstock_shim_set_getsockopt when it is loaded, and leaves a function there; without it every call goes to the C library.
 * It is a library of its own because the symbols of libpenstock have a version and would not stand in for the C library's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/socket.h>

/* Sets *handled when the descriptor is the library's; result and errno are then as of getsockopt(2). */
typedef int (*penstock_getsockopt_hook)(int fd, int level, int name, void *value, socklen_t *length, int *handled);

static _Atomic(penstock_getsockopt_hook) hook;

void penstock_shim_set_getsockopt(penstock_getsockopt_hook function)
{
	atomic_store(&hook, function);
}

int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict length)
{
	static int (*original)(int, int, int, void *, socklen_t *);
	penstock_getsockopt_hook function = atomic_load(&hook);

	if (function != NULL) {
		int handled = 0;
		int result = function(fd, level, name, value, length, &handled);

		if (handled)
			return result;
	}
	if (original == NULL)
		original = (int (*)(int, int, int, void *, socklen_t *))dlsym(RTLD_NEXT, "getsockopt");
	return original(fd, level, name, value, length);
}
