/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rest of iPXE, as far as its Hyper-V drivers see it, and the calls of hypxe: a driver guest.
 */
#include "shim.h"

#define NETDEVS_MAX 16
#define HEAP_BYTES (384 * 1024)
#define DEBUG_MAX 256
#define LOG_DEBUG 3
#define SCRATCH 2048

static struct net_device *netdevs[NETDEVS_MAX];
static unsigned int netdev_count;
static int deferred;

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

/* --- network devices --- */

struct net_device *alloc_etherdev(size_t priv_length)
{
	struct net_device *netdev = zalloc(sizeof(*netdev) + priv_length);

	if (!netdev)
		return NULL;
	netdev->priv = netdev + 1;
	netdev->max_pkt_len = ETH_FRAME_LEN;
	netdev->mtu = ETH_MAX_MTU;
	netdev->link = -1;
	return netdev;
}

void netdev_put(struct net_device *netdev)
{
	free(netdev);
}

int register_netdev(struct net_device *netdev)
{
	static const uint8_t none[MAX_LL_ADDR_LEN];

	if (netdev_count == NETDEVS_MAX)
		return -ENOMEM;
	if (memcmp(netdev->ll_addr, none, ETH_ALEN) == 0)
		memcpy(netdev->ll_addr, netdev->hw_addr, ETH_ALEN);
	snprintf(netdev->name, sizeof(netdev->name), "net%u", netdev_count);
	netdev->registered = 1;
	netdev->index = netdev_count;
	netdevs[netdev_count++] = netdev;
	return 0;
}

void unregister_netdev(struct net_device *netdev)
{
	netdev_close(netdev);
	netdev->registered = 0;
	netdevs[netdev->index] = NULL;
}

int netdev_open(struct net_device *netdev)
{
	int rc;

	if (netdev->is_open)
		return 0;
	netdev->is_open = 1;
	rc = netdev->op->open(netdev);
	if (rc)
		netdev->is_open = 0;
	return rc;
}

void netdev_close(struct net_device *netdev)
{
	if (!netdev->is_open)
		return;
	netdev->is_open = 0;
	netdev->op->close(netdev);
}

void netdev_link_up(struct net_device *netdev) { netdev->link = 1; }
void netdev_link_down(struct net_device *netdev) { netdev->link = 0; }
void netdev_link_err(struct net_device *netdev, int rc) { netdev->link = rc == 0; }

void netdev_tx_complete_err(struct net_device *netdev, struct io_buffer *iobuf, int rc)
{
	free_iob(iobuf);
	hypxe_transmitted(netdev->index, rc);
}

void netdev_tx_err(struct net_device *netdev, struct io_buffer *iobuf, int rc)
{
	shim_debug("%s transmit error %d", netdev->name, -rc);
	if (iobuf)
		free_iob(iobuf);
}

/* The tool keeps frames for which there is no room yet */
void netdev_tx_defer(struct net_device *netdev, struct io_buffer *iobuf)
{
	(void)netdev;
	deferred = 1;
	free_iob(iobuf);
}

void netdev_rx(struct net_device *netdev, struct io_buffer *iobuf)
{
	hypxe_received(netdev->index, iobuf->data, iob_len(iobuf));
	free_iob(iobuf);
}

void netdev_rx_err(struct net_device *netdev, struct io_buffer *iobuf, int rc)
{
	shim_debug("%s receive error %d", netdev->name, -rc);
	if (iobuf)
		free_iob(iobuf);
}

/* --- what hypxe calls --- */

uint32_t hypxe_abi(void)
{
	return HYPXE_ABI;
}

int32_t hypxe_probe(void)
{
	struct root_device *device;
	int rc = -ENODEV;

	netdev_count = 0;
	for_each_table_entry(device, ROOT_DEVICES) {
		INIT_LIST_HEAD(&device->dev.siblings);
		INIT_LIST_HEAD(&device->dev.children);
		rc = device->driver->probe(device);
		if (rc)
			return rc;
	}
	return rc ? rc : (int32_t)netdev_count;
}

void hypxe_remove(void)
{
	struct root_device *device;

	for_each_table_entry(device, ROOT_DEVICES)
		device->driver->remove(device);
}

static struct net_device *netdev_of(uint32_t device)
{
	return device < netdev_count ? netdevs[device] : NULL;
}

void hypxe_mac(uint32_t device, uint8_t *out)
{
	struct net_device *netdev = netdev_of(device);
	if (netdev)
		memcpy(out, netdev->ll_addr, ETH_ALEN);
}

int32_t hypxe_link(uint32_t device)
{
	struct net_device *netdev = netdev_of(device);
	return netdev ? netdev->link : 0;
}

int32_t hypxe_open(uint32_t device)
{
	struct net_device *netdev = netdev_of(device);
	return netdev ? netdev_open(netdev) : -ENODEV;
}

void hypxe_close(uint32_t device)
{
	struct net_device *netdev = netdev_of(device);
	if (netdev)
		netdev_close(netdev);
}

void *hypxe_buffer(void)
{
	static uint8_t buffer[SCRATCH];
	return buffer;
}

int32_t hypxe_transmit(uint32_t device, const void *frame, size_t length)
{
	struct net_device *netdev = netdev_of(device);
	struct io_buffer *iobuf;
	int rc;

	if (!netdev || !netdev->is_open)
		return -EPIPE;
	iobuf = alloc_iob(MAX_LL_HEADER_LEN + length);
	if (!iobuf)
		return -ENOMEM;
	iob_reserve(iobuf, MAX_LL_HEADER_LEN);
	memcpy(iob_put(iobuf, length), frame, length);
	deferred = 0;
	rc = netdev->op->transmit(netdev, iobuf);
	if (rc)
		free_iob(iobuf);
	return rc ? rc : deferred ? -EAGAIN : 0;
}

void hypxe_poll(uint32_t device)
{
	struct net_device *netdev = netdev_of(device);
	if (netdev && netdev->is_open)
		netdev->op->poll(netdev);
}

void hypxe_quiesce(void)
{
	struct quiescer *quiescer;
	for_each_table_entry(quiescer, QUIESCERS)
		quiescer->quiesce();
}

int32_t hypxe_unquiesce(void)
{
	struct quiescer *quiescer;
	for_each_table_entry(quiescer, QUIESCERS)
		quiescer->unquiesce();
	return 0;
}
