/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network device. netvsc.c moves RNDIS messages over a channel (NVSP) and knows nothing of what
 * they say; rndis.c knows that, and nothing of Hyper-V.
 */
#ifndef NETVSC_H
#define NETVSC_H

#include "vmbus.h"

#define NICS_MAX 8
#define TX_SLOTS 8
#define TX_SLOT_BYTES 2048
#define RX_BUFFER_BYTES 65536
#define FRAME_MAX 1514
#define MAC_LENGTH 6

struct nic {
	uint32_t index;
	uint8_t instance[16];
	int present;
	int open;
	struct vmbus_channel channel;
	struct gpadl rx_buffer;
	/* Frames on their way out: the number of each slot's last one, 0 while it is free */
	uint8_t *tx_pages;
	uint32_t tx_ids[TX_SLOTS];
	int tx_is_frame[TX_SLOTS];
	uint32_t in_flight;
	/* The request that is waited for: its number, and the answer */
	uint64_t wanted;
	int answered;
	uint8_t answer[64];
	uint32_t answer_length;
	/* Completions of received packets that the ring has had no room for */
	uint64_t owed[64];
	uint32_t owed_count;
	/* Frames whose end is not told yet */
	int polling;
	/* RNDIS */
	uint32_t rndis_wanted;
	uint32_t rndis_type;
	int rndis_answered;
	uint8_t rndis_answer[128];
	uint32_t rndis_answer_length;
	int initialised;
	int link;
	uint8_t mac[MAC_LENGTH];
};

/* netvsc.c */
int netvsc_open(struct nic *nic, struct vmbus_offer *offer);
void netvsc_close(struct nic *nic);
/* The host has let go of all that the device had. */
void netvsc_forget(struct nic *nic);
void netvsc_poll(struct nic *nic);
/* Send a message of RNDIS: 0, -EAGAIN, -EPIPE. */
int netvsc_send(struct nic *nic, int control, const void *header, size_t header_length,
		const void *data, size_t length);
int netvsc_is_dead(const struct nic *nic);

/* rndis.c */
int rndis_open(struct nic *nic);
void rndis_close(struct nic *nic);
int rndis_filter(struct nic *nic, uint32_t filter);
int rndis_transmit(struct nic *nic, const void *frame, size_t length);
void rndis_received(struct nic *nic, uint8_t *message, size_t length);

#define FILTER_DIRECTED 0x1
#define FILTER_ALL_MULTICAST 0x4
#define FILTER_BROADCAST 0x8

#endif
