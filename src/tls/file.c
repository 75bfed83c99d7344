#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int file_read(const char *path, size_t max, char **ret_text, size_t *ret_len)
{
	/* O_NONBLOCK: to open a FIFO would wait for who writes into it. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t len = 0, size;
	char *text = NULL;
	struct stat st;
	ssize_t n;
	int err;

	if (fd < 0)
		return -errno;
	err = fstat(fd, &st) ? -errno : 0;
	if (!err && !S_ISREG(st.st_mode))
		err = -EACCES;
	if (!err && (st.st_size < 0 || (uint64_t)st.st_size > max))
		err = -EFBIG;
	if (err)
		goto out;
	size = (size_t)st.st_size;
	text = malloc(size + 1);
	if (!text) {
		err = -ENOMEM;
		goto out;
	}
	while (len < size && (n = read(fd, text + len, size - len)) != 0) {
		if (n < 0) {
			err = -errno;
			goto out;
		}
		len += (size_t)n;
	}
	*ret_text = text;
	*ret_len = len;
	text = NULL;
out:
	free(text);
	close(fd);
	return err;
}
