/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor: CPUID, registers, the hypercall page, the SynIC. Knows nothing of VMBus.
 * Names are those of the TLFS.
 */
#ifndef HYPERV_H
#define HYPERV_H

#include "hypxe.h"

#define PAGE_SIZE 4096
#define TICKS_PER_MS 10000
#define HV_MESSAGE_MAX 240

/* A message of the host, copied: whatever is behind its end is zero. */
struct hv_message {
	uint32_t type;
	uint32_t length;
	uint8_t data[HV_MESSAGE_MAX];
};

void *memset(void *to, int value, size_t length);
void *memcpy(void *to, const void *from, size_t length);
int memcmp(const void *a, const void *b, size_t length);

/* Set while things are undone: then nobody asks whether to go on. */
extern int hv_undoing;
/* Whether the machine is ours: between hv_probe and hv_remove, but not while it is quiesced. */
extern int hv_running;

int hv_probe(void);
void hv_remove(void);
void hv_quiesce(void);
int hv_unquiesce(void);
void hv_enable_sint(void);
void hv_disable_sint(void);
int hv_post(uint32_t type, const void *data, size_t length);
int hv_signal(uint32_t connection);
int hv_receive(struct hv_message *message);
uint64_t hv_now(void);
int hv_turn(uint64_t deadline);

/* Whole pages, zeroed, or NULL. */
void *pages_alloc(size_t bytes, const char *purpose);
void say(uint32_t level, const char *text);

#define SAY_ERROR 0
#define SAY_WARNING 1
#define SAY_INFO 2

#endif
