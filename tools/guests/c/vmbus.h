/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMBus: control messages, GPADLs, channels and their rings. Knows nothing of networking.
 * Names are those of Linux and iPXE.
 */
#ifndef VMBUS_H
#define VMBUS_H

#include "hyperv.h"

#define RING_PAGES 4
#define RING_DATA (RING_PAGES * PAGE_SIZE)
#define RING_BYTES (2 * (PAGE_SIZE + RING_DATA))
#define VMBUS_ANSWER_MS 10000

#define VMBUS_DATA_INBAND 6
#define VMBUS_DATA_XFER_PAGES 7
#define VMBUS_DATA_GPA_DIRECT 9
#define VMBUS_COMPLETION 11
#define VMBUS_COMPLETION_REQUESTED 1

/* Longest packet: the headers of 375 ranges, and a message. */
#define PACKET_MAX 4096

struct vmbus_offer {
	uint32_t channel;
	uint32_t connection;
	uint8_t instance[16];	/* stays the device's, whatever its channel is */
	int rescinded;
};

/* Memory that the host was given, with the number that it is known by. */
struct gpadl {
	void *pages;
	size_t bytes;
	uint32_t id;
	int live;
};

struct vmbus_packet {
	uint16_t type;
	uint16_t header;	/* in bytes */
	uint16_t flags;
	uint64_t id;
	uint32_t length;	/* of all, without the footer */
	uint32_t data[PACKET_MAX / 4];
};

struct vmbus_channel {
	struct vmbus_offer *offer;
	struct gpadl ring;
	int open;
	int broken;
	int signal_due;
	int unsure;		/* the host has not said that it is closed */
	uint32_t prod, cons;	/* our own: the host writes over what is shared */
};

int vmbus_probe(void);
void vmbus_remove(void);
/* After somebody else may have had the machine: the host lets go of all that we had. */
int vmbus_reconnect(void);
/* Ask what devices there are. */
int vmbus_enumerate(void);
/* Hear what the host says meanwhile. */
void vmbus_poll(void);
uint32_t vmbus_offers(void);
struct vmbus_offer *vmbus_offer(uint32_t index);

int gpadl_establish(struct gpadl *gpadl, uint32_t channel, size_t bytes, const char *purpose);
int gpadl_teardown(struct gpadl *gpadl, uint32_t channel);
/* What the host may still have is kept until it has disconnected. */
void leak(void *pages, size_t bytes);

int vmbus_open(struct vmbus_channel *channel, struct vmbus_offer *offer);
void vmbus_close(struct vmbus_channel *channel);

/* ring.c */
int ring_send(struct vmbus_channel *channel, uint32_t type, uint32_t flags, uint64_t id,
	      const void *header, size_t header_length, const void *data, size_t length);
int ring_receive(struct vmbus_channel *channel, struct vmbus_packet *packet);

#endif
