/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two rings of a channel. The host writes to both: indices are copied once and checked, and
 * what we wrote ourselves is never read back.
 */
#include "vmbus.h"

struct ring {
	volatile uint32_t prod;
	volatile uint32_t cons;
	volatile uint32_t interrupt_mask;
	volatile uint32_t pending_send_size;
	uint8_t reserved[PAGE_SIZE - 16];
	volatile uint8_t data[RING_DATA];
};

struct packet_header {
	uint16_t type;
	uint16_t header;	/* in units of 8 bytes */
	uint16_t length;	/* of all but the footer, too */
	uint16_t flags;
	uint64_t id;
};

#define FOOTER 8
#define MASK (RING_DATA - 1)

static struct ring *out_ring(struct vmbus_channel *channel)
{
	return channel->ring.pages;
}

static struct ring *in_ring(struct vmbus_channel *channel)
{
	return out_ring(channel) + 1;
}

static void give_up(struct vmbus_channel *channel)
{
	if (!channel->broken)
		say(SAY_ERROR, "the host broke the rules of a ring: the channel is given up");
	channel->broken = 1;
}

static void signal(struct vmbus_channel *channel)
{
	/* What the host refuses now is tried again with the next poll */
	channel->signal_due = hv_signal(channel->offer->connection) != 0;
}

static uint32_t put(struct ring *out, uint32_t at, const void *from, size_t length)
{
	const uint8_t *bytes = from;
	for (; length--; at = (at + 1) & MASK)
		out->data[at] = *bytes++;
	return at;
}

/* Send a packet: 0, -EAGAIN without room, -EPIPE on a channel that is broken. */
int ring_send(struct vmbus_channel *channel, uint32_t type, uint32_t flags, uint64_t id,
	      const void *header, size_t header_length, const void *data, size_t length)
{
	static const uint8_t zeros[8];
	struct ring *out = out_ring(channel);
	uint32_t old = channel->prod, cons, at, total;
	uint32_t footer[2] = { 0, old };
	struct packet_header packet;

	if (channel->broken || channel->offer->rescinded)
		return -EPIPE;
	cons = out->cons;
	if (cons > MASK || (cons & 7)) {
		give_up(channel);
		return -EPIPE;
	}

	/* Check that there is room: a ring is never full */
	total = sizeof(packet) + header_length + ((length + 7) & ~7u);
	if (total + FOOTER > ((cons - old - 1) & MASK))
		return -EAGAIN;

	/* Write it, and publish it as a whole */
	packet.type = type;
	packet.header = (sizeof(packet) + header_length) / 8;
	packet.length = total / 8;
	packet.flags = flags;
	packet.id = id;
	at = put(out, old, &packet, sizeof(packet));
	at = put(out, at, header, header_length);
	at = put(out, at, data, length);
	at = put(out, at, zeros, (8 - (length & 7)) & 7);
	at = put(out, at, footer, sizeof(footer));
	channel->prod = at;
	/* All before it, reads too: a completion gives back what was read */
	hypxe_barrier(2);
	out->prod = at;

	/* Signal if the host may have gone to sleep: the ring was empty */
	hypxe_barrier(2);
	if (!out->interrupt_mask && out->cons == old)
		signal(channel);
	return 0;
}

static void get(struct vmbus_channel *channel, uint32_t offset, void *to, size_t length)
{
	struct ring *in = in_ring(channel);
	uint32_t at = (channel->cons + offset) & MASK;
	uint8_t *bytes = to;
	for (; length--; at = (at + 1) & MASK)
		*bytes++ = in->data[at];
}

static void consume(struct vmbus_channel *channel, uint32_t length)
{
	struct ring *in = in_ring(channel);
	uint32_t room = RING_DATA - ((in->prod - channel->cons) & MASK);
	uint32_t wanted;

	channel->cons = (channel->cons + length) & MASK;
	hypxe_barrier(2);
	in->cons = channel->cons;
	hypxe_barrier(2);
	/* The host may wait for room */
	wanted = in->pending_send_size & ~7u;
	if (wanted && room <= wanted && room + length > wanted)
		signal(channel);
}

/* Take a packet, copied: 1, 0 if there is none, 2 for one that is no good and was skipped. */
int ring_receive(struct vmbus_channel *channel, struct vmbus_packet *packet)
{
	struct ring *in = in_ring(channel);
	struct packet_header header;
	uint32_t prod, available, length;

	if (channel->broken || channel->offer->rescinded)
		return 0;
	if (channel->signal_due)
		signal(channel);
	prod = in->prod;
	if (prod > MASK || (prod & 7)) {
		give_up(channel);
		return 0;
	}
	available = (prod - channel->cons) & MASK;
	if (available == 0)
		return 0;
	hypxe_barrier(0);

	/* Check its lengths. If it does not fit, nobody knows where the next one begins */
	memset(packet, 0, sizeof(*packet) - sizeof(packet->data));
	if (available < sizeof(header) + FOOTER) {
		consume(channel, available);
		return 2;
	}
	get(channel, 0, &header, sizeof(header));
	length = header.length * 8u;
	if (length < sizeof(header) || length + FOOTER > available) {
		consume(channel, available);
		return 2;
	}
	packet->type = header.type;
	packet->flags = header.flags;
	packet->id = header.id;
	packet->header = header.header * 8u;
	if (length > PACKET_MAX || packet->header < sizeof(header) || packet->header > length) {
		consume(channel, length + FOOTER);
		return 2;
	}
	packet->length = length;
	get(channel, 0, packet->data, length);
	consume(channel, length + FOOTER);
	return 1;
}
