/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What iPXE's Hyper-V drivers need of the rest of iPXE, for a guest in WebAssembly: the interfaces
 * that they call, written anew. Each header that a driver includes and that is not its own becomes
 * a line that includes this one ("hypxe guest ipxe" makes them). Names are iPXE's.
 */
#ifndef SHIM_H
#define SHIM_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include "hypxe.h"

typedef int32_t ssize_t;
typedef uintptr_t physaddr_t;
typedef long off_t;
typedef uint16_t uint16;

/* --- compiler.h --- */
#define FILE_LICENCE(licence)
#define FILE_SECBOOT(permission)
#define REQUIRE_OBJECT(object)
#define REQUIRE_SYMBOL(symbol)
#define REQUIRING_SYMBOL(symbol)
#define PROVIDE_REQUIRING_SYMBOL()
#ifndef __unused
#define __unused __attribute__((unused))
#endif
#define __packed __attribute__((packed))
#define __used __attribute__((used))
#define linker_assert(condition, error) do { } while (0)
#define container_of(pointer, type, field) \
	((type *)((uint8_t *)(pointer) - offsetof(type, field)))

/* --- debugging: lines of the guest's log --- */
void shim_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define DBG(...) shim_debug(__VA_ARGS__)
#define DBGC(object, ...) shim_debug(__VA_ARGS__)
#define DBGC2(object, ...) do { if (0) shim_debug(__VA_ARGS__); } while (0)
#define DBGC_HDA(object, address, data, length) ((void)(data), (void)(length))
#define DBGC2_HDA(object, address, data, length) ((void)(data), (void)(length))
#define DBGC_HD(object, data, length) ((void)(data), (void)(length))
#define DBG_LOG 0
#define assert(condition) do { (void)sizeof((condition) ? 1 : 0); } while (0)
#define list_check_contains_entry(entry, head, field) do { } while (0)

/* --- errno.h: one number for each, as the interface has them --- */
#define EPLATFORM(info, status) ((status) ? EIO : 0)
#define EINFO_EPLATFORM 0
#define __einfo_error(info) EIO
#define EBUSY EAGAIN
#define EINPROGRESS EAGAIN
#define ENOTCONN EPIPE
const char *strerror(int error);

/* --- string.h, stdio.h, stdlib.h --- */
void *memset(void *to, int value, size_t length);
void *memcpy(void *to, const void *from, size_t length);
void *memmove(void *to, const void *from, size_t length);
int memcmp(const void *a, const void *b, size_t length);
size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
int vsnprintf(char *to, size_t size, const char *format, va_list args);
int snprintf(char *to, size_t size, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
#define printf(...) shim_debug(__VA_ARGS__)
long random(void);
void *malloc(size_t length);
void *zalloc(size_t length);
void free(void *memory);

/* --- memory that hosts see: whole pages, with the purpose that asks for them --- */
#define PAGE_SIZE 4096
void *shim_pages(size_t length, const char *purpose);
void shim_free_pages(void *pages, size_t length);
#define malloc_phys(length, align) shim_pages(length, __func__)
#define free_phys(memory, length) shim_free_pages(memory, length)
#define malloc_dma(length, align) shim_pages(length, __func__)
#define free_dma(memory, length) shim_free_pages(memory, length)
#define malloc_dma_offset(length, align, offset) shim_pages(length, __func__)
typedef void *userptr_t;
#define UNULL NULL
void *shim_umalloc(size_t length, const char *purpose);
#define umalloc(length) shim_umalloc(length, __func__)
void ufree(void *memory);
#define virt_to_phys(pointer) ((physaddr_t)(pointer))
#define phys_to_virt(address) ((void *)(uintptr_t)(address))
#define virt_to_user(pointer) ((userptr_t)(uintptr_t)(pointer))
#define phys_to_user(address) ((userptr_t)(uintptr_t)(address))
#define user_to_virt(pointer, offset) ((void *)((uint8_t *)(pointer) + (offset)))
#define user_to_phys(pointer, offset) ((physaddr_t)(pointer) + (offset))
#define userptr_add(pointer, offset) ((userptr_t)((uint8_t *)(pointer) + (offset)))
#define copy_from_user(to, from, offset, length) \
	memcpy(to, (const uint8_t *)(from) + (offset), length)
#define copy_to_user(to, offset, from, length) \
	memcpy((uint8_t *)(to) + (offset), from, length)
#define memset_user(to, offset, value, length) memset((uint8_t *)(to) + (offset), value, length)

/* --- the processor --- */
#define mb() hypxe_barrier(2)
#define rmb() hypxe_barrier(0)
#define wmb() hypxe_barrier(1)
static inline uint64_t rdmsr(unsigned int msr) { return hypxe_rdmsr(msr); }
static inline void wrmsr(unsigned int msr, uint64_t value) { hypxe_wrmsr(msr, value); }
/* With the sub-leaf, or as it was before (a6a5825f8) */
#define SHIM_CPUID_5(leaf, a, b, c, d) SHIM_CPUID_6(leaf, 0, a, b, c, d)
#define SHIM_CPUID_6(leaf, subleaf, a, b, c, d) do { \
		struct hypxe_cpuid shim_cpu; \
		hypxe_cpuid(leaf, subleaf, &shim_cpu); \
		*(a) = shim_cpu.eax; *(b) = shim_cpu.ebx; *(c) = shim_cpu.ecx; *(d) = shim_cpu.edx; \
	} while (0)
#define SHIM_CPUID_N(a, b, c, d, e, f, name, ...) name
#define cpuid(...) SHIM_CPUID_N(__VA_ARGS__, SHIM_CPUID_6, SHIM_CPUID_5)(__VA_ARGS__)
#define CPUID_FEATURES_INTEL_ECX_HYPERVISOR 0x80000000u
struct x86_feature_registers { uint32_t ecx, edx; };
struct x86_features { struct x86_feature_registers intel, amd; };
void x86_features(struct x86_features *features);
/* The interrupt of the FPU: IRQ 13 */
#define IRQ13_INT 0x75
#define IRQ_INT(irq) ((irq) + 0x68)
#define IRQ13 13
static inline void cpu_nap(void) { hypxe_pause(); }

/* --- time --- */
static inline void udelay(unsigned long microseconds) { hypxe_delay(microseconds); }
static inline void mdelay(unsigned long milliseconds) { hypxe_delay(1000 * milliseconds); }
#define TICKS_PER_SEC 1024
struct timer {
	const char *name;
	int (*probe)(void);
	unsigned long (*currticks)(void);
	void (*udelay)(unsigned long microseconds);
};

/* --- byteswap.h --- */
#define cpu_to_le16(value) ((uint16_t)(value))
#define cpu_to_le32(value) ((uint32_t)(value))
#define cpu_to_le64(value) ((uint64_t)(value))
#define le16_to_cpu(value) ((uint16_t)(value))
#define le32_to_cpu(value) ((uint32_t)(value))
#define le64_to_cpu(value) ((uint64_t)(value))
#define cpu_to_be16(value) \
	((uint16_t)((((value) & 0xff) << 8) | (((value) >> 8) & 0xff)))
#define be16_to_cpu(value) cpu_to_be16(value)
#define htons(value) cpu_to_be16(value)
#define ntohs(value) cpu_to_be16(value)

/* --- bitops.h --- */
static inline void set_bit(unsigned int bit, volatile void *bits)
{
	volatile uint8_t *byte = (volatile uint8_t *)bits + bit / 8;
	*byte = *byte | (1u << (bit % 8));
}

static inline void clear_bit(unsigned int bit, volatile void *bits)
{
	volatile uint8_t *byte = (volatile uint8_t *)bits + bit / 8;
	*byte = *byte & ~(1u << (bit % 8));
}

/* --- list.h --- */
struct list_head { struct list_head *next, *prev; };
#define LIST_HEAD_INIT(list) { &(list), &(list) }
#define LIST_HEAD(list) struct list_head list = LIST_HEAD_INIT(list)
#define INIT_LIST_HEAD(list) ((list)->next = (list)->prev = (list))

static inline void list_add(struct list_head *entry, struct list_head *head)
{
	entry->next = head->next;
	entry->prev = head;
	head->next->prev = entry;
	head->next = entry;
}

static inline void list_add_tail(struct list_head *entry, struct list_head *head)
{
	list_add(entry, head->prev);
}

static inline void list_del(struct list_head *entry)
{
	entry->next->prev = entry->prev;
	entry->prev->next = entry->next;
}

static inline int list_empty(const struct list_head *list)
{
	return list->next == list;
}

#define list_entry(list, type, field) container_of(list, type, field)
#define list_first_entry(list, type, field) \
	(list_empty(list) ? (type *)NULL : list_entry((list)->next, type, field))
#define list_for_each_entry(at, head, field) \
	for (at = list_entry((head)->next, typeof(*at), field); &at->field != (head); \
	     at = list_entry(at->field.next, typeof(*at), field))
#define list_for_each_entry_reverse(at, head, field) \
	for (at = list_entry((head)->prev, typeof(*at), field); &at->field != (head); \
	     at = list_entry(at->field.prev, typeof(*at), field))
#define list_for_each_entry_safe(at, after, head, field) \
	for (at = list_entry((head)->next, typeof(*at), field), \
	     after = list_entry(at->field.next, typeof(*at), field); &at->field != (head); \
	     at = after, after = list_entry(after->field.next, typeof(*at), field))
#define list_for_each_entry_continue_reverse(at, head, field) \
	for (at = list_entry(at->field.prev, typeof(*at), field); &at->field != (head); \
	     at = list_entry(at->field.prev, typeof(*at), field))

/* --- tables.h: what is registered at compile time, one behind the other --- */
#define __table(type, name) type, name
#define SHIM_TYPE(type, name) type
#define SHIM_SECTION(type, name) "table_" name
#define SHIM_NAME_(line) shim_table_##line
#define SHIM_NAME(line) SHIM_NAME_(line)
#define SHIM_EDGE(type, edge, name) ({ \
		extern type name[] __asm__(edge) __attribute__((weak)); name; })
#define SHIM_BEGIN(type, name) \
	SHIM_EDGE(type, "__start_table_" name, SHIM_NAME(__LINE__))
#define SHIM_END(type, name) \
	SHIM_EDGE(type, "__stop_table_" name, SHIM_NAME(SHIM_PASTE_END(__LINE__)))
#define SHIM_PASTE_END_(line) line##_end
#define SHIM_PASTE_END(line) SHIM_PASTE_END_(line)
#define SHIM_CALL(macro, ...) macro(__VA_ARGS__)
#define __table_entry(table, order) \
	__attribute__((used, section(SHIM_CALL(SHIM_SECTION, table))))
#define table_start(...) SHIM_CALL(SHIM_BEGIN, __VA_ARGS__)
#define table_end(...) SHIM_CALL(SHIM_END, __VA_ARGS__)
#define for_each_table_entry(at, ...) \
	for (at = table_start(__VA_ARGS__); at < table_end(__VA_ARGS__); at++)

/* --- uuid.h --- */
union uuid {
	uint8_t raw[16];
	struct {
		uint32_t a;
		uint16_t b, c, d;
		uint8_t e[6];
	} canonical;
};
const char *uuid_ntoa(const union uuid *uuid);
static inline void uuid_mangle(union uuid *uuid) { (void)uuid; }

/* --- device.h --- */
#define BUS_TYPE_HV 9
struct device_description {
	unsigned int bus_type, location, vendor, device;
	unsigned long class, ioaddr;
	unsigned int irq;
};
struct device {
	char name[48];
	const char *driver_name;
	struct device_description desc;
	struct list_head siblings, children;
	struct device *parent;
};
struct root_device;
struct root_driver {
	int (*probe)(struct root_device *device);
	void (*remove)(struct root_device *device);
};
struct root_device {
	struct device dev;
	struct root_driver *driver;
	void *priv;
};
#define ROOT_DEVICES __table(struct root_device, "root_devices")
#define __root_device __table_entry(ROOT_DEVICES, 01)
static inline void *rootdev_get_drvdata(struct root_device *device) { return device->priv; }
static inline void rootdev_set_drvdata(struct root_device *device, void *priv)
{
	device->priv = priv;
}

/* --- quiesce.h, timer.h --- */
struct quiescer {
	void (*quiesce)(void);
	void (*unquiesce)(void);
};
#define QUIESCERS __table(struct quiescer, "quiescers")
#define __quiescer __table_entry(QUIESCERS, 01)
#define TIMERS __table(struct timer, "timers")
#define TIMER_PREFERRED 01
#define __timer(order) __table_entry(TIMERS, order)

/* --- iobuf.h --- */
struct io_buffer {
	struct list_head list;
	void *head, *data, *tail, *end;
};
struct io_buffer *alloc_iob(size_t length);
void free_iob(struct io_buffer *iobuf);
static inline size_t iob_len(struct io_buffer *iobuf)
{
	return (uint8_t *)iobuf->tail - (uint8_t *)iobuf->data;
}
static inline size_t iob_headroom(struct io_buffer *iobuf)
{
	return (uint8_t *)iobuf->data - (uint8_t *)iobuf->head;
}
static inline size_t iob_tailroom(struct io_buffer *iobuf)
{
	return (uint8_t *)iobuf->end - (uint8_t *)iobuf->tail;
}
/* What does not fit traps: iPXE asserts it, and leaves that out of its ROMs */
static inline void iob_reserve(struct io_buffer *iobuf, size_t length)
{
	iobuf->data = (uint8_t *)iobuf->data + length;
	iobuf->tail = (uint8_t *)iobuf->tail + length;
}
static inline void *iob_push(struct io_buffer *iobuf, size_t length)
{
	if (length > iob_headroom(iobuf))
		__builtin_trap();
	iobuf->data = (uint8_t *)iobuf->data - length;
	return iobuf->data;
}
static inline void *iob_pull(struct io_buffer *iobuf, size_t length)
{
	if (length > iob_len(iobuf))
		__builtin_trap();
	iobuf->data = (uint8_t *)iobuf->data + length;
	return iobuf->data;
}
static inline void *iob_put(struct io_buffer *iobuf, size_t length)
{
	void *old = iobuf->tail;
	if (length > iob_tailroom(iobuf))
		__builtin_trap();
	iobuf->tail = (uint8_t *)iobuf->tail + length;
	return old;
}
static inline void iob_unput(struct io_buffer *iobuf, size_t length)
{
	if (length > iob_len(iobuf))
		__builtin_trap();
	iobuf->tail = (uint8_t *)iobuf->tail - length;
}
#define iob_disown(iobuf) ({ \
		struct io_buffer *shim_iobuf = (iobuf); (iobuf) = NULL; shim_iobuf; })

/* --- netdevice.h, ethernet.h --- */
#define ETH_ALEN 6
#define ETH_FRAME_LEN 1514
#define ETH_MAX_MTU 1500
#define MAX_HW_ADDR_LEN 8
#define MAX_LL_ADDR_LEN 20
#define MAX_LL_HEADER_LEN 64
struct net_device;
struct net_device_operations {
	int (*open)(struct net_device *netdev);
	void (*close)(struct net_device *netdev);
	int (*transmit)(struct net_device *netdev, struct io_buffer *iobuf);
	void (*poll)(struct net_device *netdev);
	void (*irq)(struct net_device *netdev, int enable);
};
struct net_device {
	char name[12];
	struct device *dev;
	struct net_device_operations *op;
	uint8_t hw_addr[MAX_HW_ADDR_LEN];
	uint8_t ll_addr[MAX_LL_ADDR_LEN];
	void *priv;
	size_t max_pkt_len, mtu;
	int registered, is_open, link;
	unsigned int index;
};
struct net_device *alloc_etherdev(size_t priv_length);
void netdev_put(struct net_device *netdev);
int register_netdev(struct net_device *netdev);
void unregister_netdev(struct net_device *netdev);
int netdev_open(struct net_device *netdev);
void netdev_close(struct net_device *netdev);
void netdev_link_up(struct net_device *netdev);
void netdev_link_down(struct net_device *netdev);
void netdev_link_err(struct net_device *netdev, int rc);
void netdev_tx_complete_err(struct net_device *netdev, struct io_buffer *iobuf, int rc);
void netdev_tx_err(struct net_device *netdev, struct io_buffer *iobuf, int rc);
void netdev_tx_defer(struct net_device *netdev, struct io_buffer *iobuf);
void netdev_rx(struct net_device *netdev, struct io_buffer *iobuf);
void netdev_rx_err(struct net_device *netdev, struct io_buffer *iobuf, int rc);
static inline void netdev_init(struct net_device *netdev, struct net_device_operations *op)
{
	netdev->op = op;
}
static inline void netdev_nullify(struct net_device *netdev) { netdev->op = NULL; }
static inline int netdev_is_open(struct net_device *netdev) { return netdev->is_open; }
static inline int netdev_link_ok(struct net_device *netdev) { return netdev->link > 0; }
static inline void netdev_tx_complete(struct net_device *netdev, struct io_buffer *iobuf)
{
	netdev_tx_complete_err(netdev, iobuf, 0);
}

#endif
