/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory and text, as iPXE's drivers call them. */
#include "shim.h"

#define HEAP_BYTES (384 * 1024)
#define DEBUG_MAX 256
#define LOG_DEBUG 3

/* --- memory --- */

static size_t whole(size_t length)
{
	return (length + PAGE_SIZE - 1) & ~(size_t)(PAGE_SIZE - 1);
}

/*
 * What pages are for: hv_alloc_pages is asked for these, in this order; other functions are asked
 * for one thing only.
 */
static const char *const page_purposes[] = {
	"hypercall", "simp", "siefp", "interrupt-page", "monitor-in", "monitor-out",
};
#define PAGE_PURPOSES (sizeof(page_purposes) / sizeof(page_purposes[0]))
static void *purposed[PAGE_PURPOSES];
static const struct { const char *function, *purpose; } functions[] = {
	{ "hv_alloc_message", "message-buffer" },
	{ "vmbus_open", "ring" },
	{ "netvsc_create_buffer", "rx-buffer" },
	{ "netvsc_buffer_alloc", "rx-buffer" },
	{ "netvsc_open", "rx-buffer" },
};

void *shim_pages(size_t length, const char *function)
{
	const char *purpose = function;
	unsigned int i, at = PAGE_PURPOSES;
	void *pages;

	if (strcmp(function, "hv_alloc_pages") == 0)
		for (at = 0; at < PAGE_PURPOSES && purposed[at]; at++)
			;
	if (at < PAGE_PURPOSES)
		purpose = page_purposes[at];
	for (i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		if (strcmp(function, functions[i].function) == 0)
			purpose = functions[i].purpose;
	pages = hypxe_page_alloc(whole(length), purpose, strlen(purpose));
	if (at < PAGE_PURPOSES)
		purposed[at] = pages;
	return pages;
}

void shim_free_pages(void *pages, size_t length)
{
	unsigned int i;

	if (!pages)
		return;
	for (i = 0; i < PAGE_PURPOSES; i++)
		if (purposed[i] == pages)
			purposed[i] = NULL;
	hypxe_page_free(pages, whole(length));
}

/* What umalloc has given: its lengths are not told when it is given back. */
static struct { void *memory; size_t length; } blocks[64];

void *shim_umalloc(size_t length, const char *purpose)
{
	unsigned int i;
	for (i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		if (blocks[i].memory)
			continue;
		blocks[i].memory = shim_pages(length, purpose);
		blocks[i].length = length;
		return blocks[i].memory;
	}
	return NULL;
}

void ufree(void *memory)
{
	unsigned int i;
	for (i = 0; memory && i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		if (blocks[i].memory != memory)
			continue;
		shim_free_pages(memory, blocks[i].length);
		blocks[i].memory = NULL;
		return;
	}
}

/* A heap of blocks, each with its length in front; the lowest bit says that it is in use. */
static uint64_t heap[HEAP_BYTES / 8];

void *malloc(size_t length)
{
	size_t need = (length + 15) / 8, at, size;

	if (heap[0] == 0)
		heap[0] = (HEAP_BYTES / 8) << 1;
	for (at = 0; at < HEAP_BYTES / 8; at += heap[at] >> 1) {
		if (heap[at] & 1)
			continue;
		/* Join what is free behind it */
		while (at + (heap[at] >> 1) < HEAP_BYTES / 8 && !(heap[at + (heap[at] >> 1)] & 1))
			heap[at] += heap[at + (heap[at] >> 1)];
		size = heap[at] >> 1;
		if (size < need)
			continue;
		if (size > need)
			heap[at + need] = (size - need) << 1;
		else
			need = size;
		heap[at] = (need << 1) | 1;
		return &heap[at + 1];
	}
	return NULL;
}

void *zalloc(size_t length)
{
	void *memory = malloc(length);
	return memory ? memset(memory, 0, length) : NULL;
}

void free(void *memory)
{
	if (memory)
		((uint64_t *)memory)[-1] &= ~1ull;
}

struct io_buffer *alloc_iob(size_t length)
{
	struct io_buffer *iobuf = malloc(sizeof(*iobuf) + length);

	if (!iobuf)
		return NULL;
	memset(iobuf, 0, sizeof(*iobuf));
	iobuf->head = iobuf->data = iobuf->tail = iobuf + 1;
	iobuf->end = (uint8_t *)iobuf->head + length;
	return iobuf;
}

void free_iob(struct io_buffer *iobuf)
{
	free(iobuf);
}

/* --- text --- */

size_t strlen(const char *text)
{
	size_t length = 0;
	while (text[length])
		length++;
	return length;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *(const uint8_t *)a - *(const uint8_t *)b;
}

void *memset(void *to, int value, size_t length)
{
	uint8_t *bytes = to;
	while (length--)
		*bytes++ = (uint8_t)value;
	return to;
}

void *memcpy(void *to, const void *from, size_t length)
{
	uint8_t *bytes = to;
	const uint8_t *source = from;
	while (length--)
		*bytes++ = *source++;
	return to;
}

void *memmove(void *to, const void *from, size_t length)
{
	uint8_t *bytes = to;
	const uint8_t *source = from;
	if (to < from)
		return memcpy(to, from, length);
	while (length--)
		bytes[length] = source[length];
	return to;
}

int memcmp(const void *a, const void *b, size_t length)
{
	const uint8_t *first = a, *second = b;
	for (; length--; first++, second++)
		if (*first != *second)
			return *first - *second;
	return 0;
}

struct output { char *to; size_t size, used; };

static void put(struct output *output, char c)
{
	if (output->used + 1 < output->size)
		output->to[output->used] = c;
	output->used++;
}

static void put_number(struct output *output, uint64_t value, unsigned int base, int width,
		       char fill, int negative)
{
	char digits[24];
	int count = 0;

	do
		digits[count++] = "0123456789abcdef"[value % base];
	while (value /= base);
	if (negative)
		digits[count++] = '-';
	for (; width > count; width--)
		put(output, fill);
	while (count)
		put(output, digits[--count]);
}

/* %s %c %d %i %u %x %X %p %%, with #, 0, width, l, ll, z. */
int vsnprintf(char *to, size_t size, const char *format, va_list args)
{
	struct output output = { to, size, 0 };

	for (; *format; format++) {
		int width = 0, wide = 0, prefix = 0;
		char fill = ' ';
		int64_t value;

		if (*format != '%') {
			put(&output, *format);
			continue;
		}
		for (format++; *format == '#' || *format == '0' || *format == '-'; format++) {
			prefix |= *format == '#';
			fill = *format == '0' ? '0' : fill;
		}
		for (; *format >= '0' && *format <= '9'; format++)
			width = 10 * width + *format - '0';
		for (; *format == 'l' || *format == 'z' || *format == 'h'; format++)
			wide += *format == 'l';
		if (*format == 's') {
			const char *text = va_arg(args, const char *);
			for (text = text ? text : "(null)"; *text; text++)
				put(&output, *text);
		} else if (*format == 'c') {
			put(&output, (char)va_arg(args, int));
		} else if (*format == 'd' || *format == 'i') {
			value = wide > 1 ? va_arg(args, int64_t) : va_arg(args, int);
			put_number(&output, value < 0 ? -value : value, 10, width, fill, value < 0);
		} else if (*format == 'u' || *format == 'x' || *format == 'X' || *format == 'p') {
			value = wide > 1 ? va_arg(args, int64_t) : va_arg(args, unsigned int);
			if (prefix || *format == 'p') {
				put(&output, '0');
				put(&output, 'x');
				width -= 2;
			}
			put_number(&output, value, *format == 'u' ? 10 : 16, width, fill, 0);
		} else {
			put(&output, *format);
		}
	}
	if (size)
		to[output.used < size ? output.used : size - 1] = '\0';
	return output.used;
}

int snprintf(char *to, size_t size, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = vsnprintf(to, size, format, args);
	va_end(args);
	return length;
}

void shim_debug(const char *format, ...)
{
	static char line[DEBUG_MAX];
	va_list args;
	size_t length;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	length = strlen(line);
	while (length && line[length - 1] == '\n')
		length--;
	hypxe_log(LOG_DEBUG, line, length);
}

const char *strerror(int error)
{
	static char text[24];
	snprintf(text, sizeof(text), "error %d", error < 0 ? -error : error);
	return text;
}

const char *uuid_ntoa(const union uuid *uuid)
{
	static char text[37];
	const uint8_t *e = uuid->canonical.e;

	snprintf(text, sizeof(text), "%08x-%04x-%04x-%04x-%02x%02x%02x%02x%02x%02x",
		 uuid->canonical.a, uuid->canonical.b, uuid->canonical.c,
		 be16_to_cpu(uuid->canonical.d), e[0], e[1], e[2], e[3], e[4], e[5]);
	return text;
}

long random(void)
{
	return (long)(hypxe_random() & 0x7fffffff);
}

void x86_features(struct x86_features *features)
{
	struct hypxe_cpuid cpu;

	memset(features, 0, sizeof(*features));
	hypxe_cpuid(1, 0, &cpu);
	features->intel.ecx = cpu.ecx;
	features->intel.edx = cpu.edx;
}
