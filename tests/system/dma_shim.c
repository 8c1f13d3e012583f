/* Lets libcamera allocate frame buffers on a machine without a camera.
 *
 * libcamera asks /dev/udmabuf, and picamera2 /dev/dma_heap/linux,cma, for memory that hardware could write to. The
 * virtual camera is software: ordinary shared memory (memfd) will do. Loaded with LD_PRELOAD, this answers the opens
 * of those two files and the ioctls on them; everything else passes through.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int is_allocator(const char *path)
{
	return path && (!strcmp(path, "/dev/udmabuf") || !strcmp(path, "/dev/dma_heap/linux,cma"));
}

/* The mode is passed only where a file may be made. */
#define MODE_OF(flags, mode)                              \
	mode_t mode = 0;                                  \
	if ((flags) & (O_CREAT | O_TMPFILE)) {            \
		va_list arguments;                        \
		va_start(arguments, flags);               \
		mode = va_arg(arguments, mode_t);         \
		va_end(arguments);                        \
	}

#define WRAP_OPEN(name)                                                                             \
	int name(const char *path, int flags, ...)                                                  \
	{                                                                                           \
		int (*next)(const char *, int, ...) = dlsym(RTLD_NEXT, #name);                      \
		MODE_OF(flags, mode)                                                                \
		return is_allocator(path) ? next("/dev/null", O_RDWR | O_CLOEXEC) : next(path, flags, mode); \
	}

#define WRAP_OPENAT(name)                                                                    \
	int name(int folder, const char *path, int flags, ...)                               \
	{                                                                                    \
		int (*next)(int, const char *, int, ...) = dlsym(RTLD_NEXT, #name);          \
		MODE_OF(flags, mode)                                                         \
		return is_allocator(path) ? next(folder, "/dev/null", O_RDWR | O_CLOEXEC)    \
					  : next(folder, path, flags, mode);                 \
	}

WRAP_OPEN(open)
WRAP_OPEN(open64)
WRAP_OPENAT(openat)
WRAP_OPENAT(openat64)

int ioctl(int file, unsigned long request, ...)
{
	int (*next)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
	va_list arguments;
	va_start(arguments, request);
	void *argument = va_arg(arguments, void *);
	va_end(arguments);

	if (request == UDMABUF_CREATE) {
		/* The caller has made the memfd already: hand it back as the buffer. */
		return fcntl(((struct udmabuf_create *)argument)->memfd, F_DUPFD_CLOEXEC, 3);
	}
	if (request == DMA_HEAP_IOCTL_ALLOC) {
		struct dma_heap_allocation_data *wanted = argument;
		int memory = memfd_create("frame", MFD_CLOEXEC);
		if (memory < 0 || ftruncate(memory, wanted->len))
			return -1;
		wanted->fd = memory;
		return 0;
	}
	/* Ordinary memory is always coherent, and its name is of no interest. */
	if (request == DMA_BUF_IOCTL_SYNC || (_IOC_TYPE(request) == DMA_BUF_BASE && _IOC_NR(request) == 1))
		return 0;
	return next(file, request, argument);
}
