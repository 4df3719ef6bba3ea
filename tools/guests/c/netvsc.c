/* SPDX-License-Identifier: BSD-2-Clause */
#include "netvsc.h"

#define NVSP_INIT 1
#define NVSP_INIT_COMPLETE 2
#define NVSP_SEND_NDIS_VERSION 100
#define NVSP_SEND_RECEIVE_BUFFER 101
#define NVSP_SEND_RECEIVE_BUFFER_COMPLETE 102
#define NVSP_REVOKE_RECEIVE_BUFFER 103
#define NVSP_SEND_RNDIS_PACKET 107
#define NVSP_SEND_RNDIS_PACKET_COMPLETE 108
#define NVSP_VERSION_1 2
#define NVSP_SUCCESS 1
#define NVSP_WORDS 8
#define NO_SEND_BUFFER 0xffffffffu

/* The host names the receive buffer so. */
#define PAGE_SET 0x18
#define PACKETS_PER_POLL 4096
/* How long frames in flight are waited for at the end, and a REVOKE that some hosts never answer */
#define DRAIN_MS 20
#define REVOKE_MS 1000

/* Numbers of packets: requests count up from here, frames have their slot in the low bits */
#define REQUEST_FIRST 0x80000000u

static struct vmbus_packet packet;
/* A packet's messages, copied: so the host has its pages back before anything is done with them */
static uint32_t copied[RX_BUFFER_BYTES / 4];
static uint32_t copied_length[(PACKET_MAX - 24) / 8];
static uint32_t last_request = REQUEST_FIRST, last_frame;

int netvsc_is_dead(const struct nic *nic)
{
	return !hv_running || !nic->channel.open || nic->channel.broken ||
	       nic->channel.offer->rescinded;
}

/* Send a request and wait for its completion, of this type and at least this length. */
static int request(struct nic *nic, const uint32_t *words, uint32_t count, uint32_t type,
		   uint32_t least, uint32_t ms)
{
	uint32_t data[NVSP_WORDS] = { 0 };
	uint64_t deadline;
	int rc;

	memcpy(data, words, count * 4);
	nic->answered = 0;
	nic->wanted = ++last_request;
	rc = ring_send(&nic->channel, VMBUS_DATA_INBAND, VMBUS_COMPLETION_REQUESTED, nic->wanted,
		       NULL, 0, data, sizeof(data));
	deadline = hv_now() + (uint64_t)ms * TICKS_PER_MS;
	while (!rc && !nic->answered) {
		netvsc_poll(nic);
		if (nic->answered)
			break;
		rc = netvsc_is_dead(nic) ? -EPIPE : hv_turn(deadline);
	}
	if (!rc && !nic->answered)
		rc = -ETIMEDOUT;
	nic->wanted = 0;
	if (rc)
		return rc;
	memcpy(data, nic->answer, 4);
	if (nic->answer_length < least || (type && data[0] != type))
		return -EPROTO;
	return 0;
}

static uint32_t answer_word(struct nic *nic, uint32_t offset)
{
	uint32_t value;
	memcpy(&value, nic->answer + offset, 4);
	return value;
}

static int negotiate(struct nic *nic)
{
	uint32_t init[] = { NVSP_INIT, NVSP_VERSION_1, NVSP_VERSION_1 };
	uint32_t version[] = { NVSP_SEND_NDIS_VERSION, 6, 1 };
	uint32_t buffer[] = { NVSP_SEND_RECEIVE_BUFFER, nic->rx_buffer.id, PAGE_SET };
	int rc;

	rc = request(nic, init, 3, NVSP_INIT_COMPLETE, 16, VMBUS_ANSWER_MS);
	if (!rc && answer_word(nic, 12) != NVSP_SUCCESS)
		rc = -ENOTSUP;
	/* The completion may be empty */
	if (!rc)
		rc = request(nic, version, 3, 0, 0, VMBUS_ANSWER_MS);
	if (!rc)
		rc = request(nic, buffer, 3, NVSP_SEND_RECEIVE_BUFFER_COMPLETE, 28,
			     VMBUS_ANSWER_MS);
	if (!rc && answer_word(nic, 4) != NVSP_SUCCESS)
		rc = -EPROTO;
	return rc;
}

static void tear_down(struct nic *nic)
{
	uint32_t slot, status = (uint32_t)-ECANCELED;

	vmbus_close(&nic->channel);
	/* The channel is closed: what it had not sent will never be */
	for (slot = 0; slot < TX_SLOTS; slot++) {
		if (nic->tx_ids[slot] && nic->tx_is_frame[slot])
			hypxe_transmitted(nic->index, (int32_t)status);
		nic->tx_ids[slot] = 0;
	}
	nic->in_flight = 0;
	if (nic->tx_pages && nic->channel.unsure)
		leak(nic->tx_pages, TX_SLOTS * TX_SLOT_BYTES);
	else if (nic->tx_pages)
		hypxe_page_free(nic->tx_pages, TX_SLOTS * TX_SLOT_BYTES);
	nic->tx_pages = NULL;
#ifndef NO_BUFFER_TEARDOWN
	/* Hosts want it after the channel is closed */
	gpadl_teardown(&nic->rx_buffer, nic->channel.offer->channel);
#endif
}

int netvsc_open(struct nic *nic, struct vmbus_offer *offer)
{
	int rc, undoing;

	nic->channel.offer = offer;
	rc = gpadl_establish(&nic->rx_buffer, offer->channel, RX_BUFFER_BYTES, "receive buffer");
	if (rc)
		return rc;
	nic->tx_pages = pages_alloc(TX_SLOTS * TX_SLOT_BYTES, "frames in flight");
	rc = nic->tx_pages ? vmbus_open(&nic->channel, offer) : -ENOMEM;
	if (!rc)
		rc = negotiate(nic);
	if (!rc)
		return 0;
	undoing = hv_undoing;
	hv_undoing = 1;
	tear_down(nic);
	hv_undoing = undoing;
	return rc;
}

/* Wait until nothing is in flight. */
static void drain(struct nic *nic)
{
	uint64_t deadline = hv_now() + (uint64_t)DRAIN_MS * TICKS_PER_MS;

	do
		netvsc_poll(nic);
	while (nic->in_flight && !netvsc_is_dead(nic) && hv_turn(deadline) == 0);
}

/* Never fails: nothing is said to a host that does not listen. */
void netvsc_close(struct nic *nic)
{
	uint32_t revoke[] = { NVSP_REVOKE_RECEIVE_BUFFER, PAGE_SET };

	if (!netvsc_is_dead(nic)) {
		drain(nic);
#ifndef NO_REVOKE
		/* The GPADL decides when the buffer is free: whether this is answered does not */
		(void)request(nic, revoke, 2, 0, 0, REVOKE_MS);
#else
		(void)revoke;
#endif
	}
	tear_down(nic);
}

void netvsc_forget(struct nic *nic)
{
	nic->channel.ring.live = nic->rx_buffer.live = 0;
	tear_down(nic);
	nic->owed_count = 0;
	nic->polling = nic->initialised = 0;
	nic->wanted = nic->rndis_wanted = 0;
}

int netvsc_send(struct nic *nic, int control, const void *header, size_t header_length,
		const void *data, size_t length)
{
	uint32_t nvsp[NVSP_WORDS] = { NVSP_SEND_RNDIS_PACKET, control ? 1 : 0, NO_SEND_BUFFER, 0 };
	struct {
		uint32_t reserved, ranges, length, offset;
		uint64_t page;
	} pages;
	uint32_t slot;
	uint8_t *to;
	int rc;

	if (netvsc_is_dead(nic))
		return -EPIPE;
	for (slot = 0; slot < TX_SLOTS && nic->tx_ids[slot]; slot++)
		;
	if (slot == TX_SLOTS)
		return -EAGAIN;
	to = nic->tx_pages + slot * TX_SLOT_BYTES;
	memcpy(to, header, header_length);
	memcpy(to + header_length, data, length);
	pages.reserved = 0;
	pages.ranges = 1;
	pages.length = header_length + length;
	pages.offset = (uintptr_t)to % PAGE_SIZE;
	pages.page = (uintptr_t)to / PAGE_SIZE;

	/* A number that no frame had lately: a completion that comes twice is nobody's */
	last_frame = (last_frame + 1) & 0xffffff;
	if (last_frame == 0)
		last_frame = 1;
	rc = ring_send(&nic->channel, VMBUS_DATA_GPA_DIRECT, VMBUS_COMPLETION_REQUESTED,
		       last_frame * TX_SLOTS + slot, &pages, sizeof(pages), nvsp, sizeof(nvsp));
	if (rc)
		return rc;
	nic->tx_ids[slot] = last_frame;
	nic->tx_is_frame[slot] = !control;
	nic->in_flight++;
	return 0;
}

/* --- what the host sends --- */

static void completed(struct nic *nic)
{
	uint32_t length = packet.length - packet.header;
	uint32_t slot = packet.id % TX_SLOTS, number = packet.id / TX_SLOTS;

	if (packet.id < REQUEST_FIRST && number && nic->tx_ids[slot] == number) {
		nic->tx_ids[slot] = 0;
		nic->in_flight--;
		if (nic->tx_is_frame[slot])
			hypxe_transmitted(nic->index, 0);
		return;
	}
	if (!nic->wanted || packet.id != nic->wanted)
		return;
	if (length > sizeof(nic->answer))
		length = sizeof(nic->answer);
	memset(nic->answer, 0, sizeof(nic->answer));
	memcpy(nic->answer, (uint8_t *)packet.data + packet.header, length);
	nic->answer_length = length;
	nic->answered = 1;
}

static int send_completion(struct nic *nic, uint64_t id)
{
	uint32_t data[NVSP_WORDS] = { NVSP_SEND_RNDIS_PACKET_COMPLETE, NVSP_SUCCESS };

	return ring_send(&nic->channel, VMBUS_COMPLETION, 0, id, NULL, 0, data, sizeof(data));
}

/* Tell the host that its packet is done: as soon as there is room. */
static void complete(struct nic *nic, uint64_t id)
{
#ifdef NO_COMPLETION
	return;
#endif
	if (nic->owed_count == 0 && send_completion(nic, id) != -EAGAIN)
		return;
	if (nic->owed_count == sizeof(nic->owed) / sizeof(nic->owed[0])) {
		say(SAY_ERROR, "the host takes no completions: the channel is given up");
		nic->channel.broken = 1;
		return;
	}
	nic->owed[nic->owed_count++] = id;
}

static void pay(struct nic *nic)
{
	while (nic->owed_count && send_completion(nic, nic->owed[0]) != -EAGAIN) {
		uint32_t i;
		nic->owed_count--;
		for (i = 0; i < nic->owed_count; i++)
			nic->owed[i] = nic->owed[i + 1];
	}
}

/* Messages in the receive buffer. */
static void received(struct nic *nic)
{
	const uint8_t *buffer = nic->rx_buffer.pages;
	uint32_t count, i, at, length, offset, used = 0, messages = 0;
	uint32_t *data = packet.data, *nvsp = data + packet.header / 4;

	/* Check that it is what it should be, and that the ranges fill the header */
	count = packet.header >= 24 ? data[5] : 0;
	if ((data[4] & 0xffff) != PAGE_SET || packet.length - packet.header < 16 ||
	    count > (PACKET_MAX - 24) / 8 || packet.header != 24 + 8 * count ||
	    nvsp[0] != NVSP_SEND_RNDIS_PACKET)
		count = 0;
	for (i = 0; i < count; i++) {
		length = data[6 + 2 * i];
		offset = data[7 + 2 * i];
		if (offset > RX_BUFFER_BYTES || length > RX_BUFFER_BYTES - offset ||
		    ((length + 3) & ~3u) > RX_BUFFER_BYTES - used)
			continue;
		memcpy((uint8_t *)copied + used, buffer + offset, length);
		copied_length[messages++] = length;
		used += (length + 3) & ~3u;
	}
	complete(nic, packet.id);
	for (i = 0, at = 0; i < messages; i++) {
		rndis_received(nic, (uint8_t *)copied + at, copied_length[i]);
		at += (copied_length[i] + 3) & ~3u;
	}
}

/* Take what is there; messages first: they may say that the device is gone. */
void netvsc_poll(struct nic *nic)
{
	uint32_t i;

	if (!hv_running)
		return;
	vmbus_poll();
	if (nic->polling || netvsc_is_dead(nic))
		return;
	nic->polling = 1;
	pay(nic);
	for (i = 0; i < PACKETS_PER_POLL; i++) {
		int rc = ring_receive(&nic->channel, &packet);
		if (rc == 0)
			break;
		if (rc == 2) {
			/* The host waits for the completion of what it has lent us, all the same */
			if (packet.type == VMBUS_DATA_XFER_PAGES)
				complete(nic, packet.id);
		} else if (packet.type == VMBUS_COMPLETION) {
			completed(nic);
		} else if (packet.type == VMBUS_DATA_XFER_PAGES) {
			received(nic);
		} else if (packet.flags & VMBUS_COMPLETION_REQUESTED) {
			complete(nic, packet.id);
		}
	}
	nic->polling = 0;
}
