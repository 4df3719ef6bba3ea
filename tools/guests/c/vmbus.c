/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmbus.h"

#define MESSAGE_TYPE 1
#define OFFER_CHANNEL 1
#define RESCIND_CHANNEL_OFFER 2
#define REQUEST_OFFERS 3
#define ALL_OFFERS_DELIVERED 4
#define OPEN_CHANNEL 5
#define OPEN_CHANNEL_RESULT 6
#define CLOSE_CHANNEL 7
#define GPADL_HEADER 8
#define GPADL_CREATED 10
#define GPADL_TEARDOWN 11
#define GPADL_TORNDOWN 12
#define RELID_RELEASED 13
#define INITIATE_CONTACT 14
#define VERSION_RESPONSE 15
#define UNLOAD 16
#define UNLOAD_RESPONSE 17

/* The first version whose hosts say when they have let go of everything. */
#define VERSION_3_0 0x00030000u
#define CONTACT_MS 30000
#define CONTACT_TRIES 4
/* A host may first have to write its disk caches: up to 50 s were seen. */
#define UNLOAD_MS 100000
#define UNLOAD_TRIES 3
/* How long the first network device is waited for: a host may offer it behind its list. */
#define NIC_MS 15000
#define CHANNEL_MAX 2047
#define OFFERS_MAX 8
#define LEAKS_MAX 64
/* Messages that are skipped in one wait. */
#define SKIPPED_MAX 4096
#define OFFER_MIN 196
#define HEADER_PFNS 26
#define GPADL_FIRST 0x68000000u

static const uint8_t network[16] = {
	0x63, 0x51, 0x61, 0xf8, 0x3e, 0xdf, 0xc5, 0x46,
	0x91, 0x3f, 0xf2, 0xd2, 0xf9, 0x65, 0xed, 0x0e,
};

static struct vmbus_offer offers[OFFERS_MAX];
static uint32_t offer_count;
static int must_unload, collecting, connected;
static uint32_t last_gpadl = GPADL_FIRST;
/* What the host did not give back: it is free once the host has disconnected, or never. */
static struct { void *pages; size_t bytes; } leaks[LEAKS_MAX];
static uint32_t leak_count;
static struct hv_message message;

static uint32_t word(uint32_t offset)
{
	uint32_t value;
	memcpy(&value, message.data + offset, 4);
	return value;
}

static uint32_t message_type(void)
{
	return message.type == MESSAGE_TYPE && message.length >= 8 ? word(0) : 0;
}

static void offered(void)
{
	uint32_t channel = word(184), i;

	if (!collecting || message.length < OFFER_MIN || memcmp(message.data + 8, network, 16) != 0)
		return;
	/* Not a sub-channel, and not one that is there already */
	if (channel == 0 || channel > CHANNEL_MAX || message.data[180] || message.data[181])
		return;
	for (i = 0; i < offer_count; i++)
		if (offers[i].channel == channel)
			return;
	if (offer_count == OFFERS_MAX)
		return;
	offers[offer_count].channel = channel;
	offers[offer_count].connection = word(192);
	memcpy(offers[offer_count].instance, message.data + 24, 16);
	offers[offer_count].rescinded = 0;
	offer_count++;
}

/* A message that nobody waits for. */
static void unsolicited(void)
{
	uint32_t i, type = message_type();

	if (type == OFFER_CHANNEL)
		offered();
	if (type != RESCIND_CHANNEL_OFFER || message.length < 12)
		return;
	for (i = 0; i < offer_count; i++)
		if (offers[i].channel == word(8))
			offers[i].rescinded = 1;
}

/*
 * Wait for a message of this type, of at least this length, with these words at 8 and 12 if they
 * are wanted. A device that goes meanwhile ends the wait.
 */
static int wait_for(uint32_t type, uint32_t least, const uint32_t *first, const uint32_t *second,
		    uint32_t ms, const struct vmbus_offer *device)
{
	uint64_t deadline = hv_now() + (uint64_t)ms * TICKS_PER_MS;
	uint32_t skipped = 0;
	int rc;

	for (;;) {
		while (hv_receive(&message)) {
			if (message_type() == type) {
				if (message.length < least)
					return -EPROTO;
				if ((!first || word(8) == *first) && (!second || word(12) == *second))
					return 0;
			}
			unsolicited();
			if (device && device->rescinded)
				return -EPIPE;
			if (++skipped > SKIPPED_MAX)
				return -EPROTO;
		}
		rc = hv_turn(deadline);
		if (rc)
			return rc;
	}
}

static int post(uint32_t type, const uint32_t *words, uint32_t count, size_t length)
{
	uint32_t data[HV_MESSAGE_MAX / 4];

	memset(data, 0, sizeof(data));
	data[0] = type;
	memcpy(data + 2, words, count * 4);
	if (length < 8 + count * 4)
		length = 8 + count * 4;
	return hv_post(MESSAGE_TYPE, data, length);
}

/* --- memory that the host has --- */

void leak(void *pages, size_t bytes)
{
	if (leak_count < LEAKS_MAX) {
		leaks[leak_count].pages = pages;
		leaks[leak_count].bytes = bytes;
		leak_count++;
	}
}

int gpadl_establish(struct gpadl *gpadl, uint32_t channel, size_t bytes, const char *purpose)
{
	uint32_t words[5 + 2 * HEADER_PFNS];
	uint32_t pages = bytes / PAGE_SIZE, i;
	int rc;

	gpadl->live = 0;
	gpadl->bytes = bytes;
	gpadl->pages = pages_alloc(bytes, purpose);
	if (!gpadl->pages)
		return -ENOMEM;

	/* Channel, number; one range: its length with page numbers, byte count, offset */
	gpadl->id = ++last_gpadl;
	words[0] = channel;
	words[1] = gpadl->id;
	words[2] = (8 + 8 * pages) | (1u << 16);
	words[3] = bytes;
	words[4] = 0;
	for (i = 0; i < pages; i++) {
		words[5 + 2 * i] = (uintptr_t)gpadl->pages / PAGE_SIZE + i;
		words[6 + 2 * i] = 0;
	}
	rc = post(GPADL_HEADER, words, 5 + 2 * pages, 0);
	if (rc) {
		/* It was never sent */
		hypxe_page_free(gpadl->pages, bytes);
		gpadl->pages = NULL;
		return rc;
	}
	gpadl->live = 1;
	rc = wait_for(GPADL_CREATED, 20, &channel, &gpadl->id, VMBUS_ANSWER_MS, NULL);
	if (rc == 0 && word(16) != 0) {
		gpadl->live = 0;
		rc = -EPROTO;
	}
	if (rc)
		gpadl_teardown(gpadl, channel);
	return rc;
}

/* Take memory back, and free it; what the host keeps is kept until it has disconnected. */
int gpadl_teardown(struct gpadl *gpadl, uint32_t channel)
{
	uint32_t words[2] = { channel, gpadl->id };
	int undoing = hv_undoing, rc = 0;

	if (!gpadl->pages)
		return 0;
	hv_undoing = 1;
	if (gpadl->live) {
		rc = post(GPADL_TEARDOWN, words, 2, 0);
		if (!rc)
			rc = wait_for(GPADL_TORNDOWN, 12, &gpadl->id, NULL, VMBUS_ANSWER_MS, NULL);
	}
	hv_undoing = undoing;
	if (rc) {
		say(SAY_WARNING, "the host does not give memory back");
		leak(gpadl->pages, gpadl->bytes);
	} else {
		hypxe_page_free(gpadl->pages, gpadl->bytes);
	}
	gpadl->pages = NULL;
	gpadl->live = 0;
	return rc;
}

/* --- channels --- */

static void post_close(struct vmbus_offer *offer)
{
#ifndef NO_CLOSE
	if (post(CLOSE_CHANNEL, &offer->channel, 1, 0))
		say(SAY_ERROR, "could not close a channel");
#else
	(void)offer;
#endif
}

int vmbus_open(struct vmbus_channel *channel, struct vmbus_offer *offer)
{
	static uint32_t open_id;
	uint32_t words[5];
	int rc, maybe_open = 0;

	memset(channel, 0, sizeof(*channel));
	channel->offer = offer;
	rc = gpadl_establish(&channel->ring, offer->channel, RING_BYTES, "rings");
	if (rc)
		return rc;

	/* Channel, number, rings, processor 0, where the second ring begins */
	words[0] = offer->channel;
	words[1] = ++open_id;
	words[2] = channel->ring.id;
	words[3] = 0;
	words[4] = 1 + RING_PAGES;
	rc = post(OPEN_CHANNEL, words, 5, 148);
	if (!rc) {
		maybe_open = 1;
		rc = wait_for(OPEN_CHANNEL_RESULT, 20, &words[0], &words[1], VMBUS_ANSWER_MS,
			      offer);
		if (rc == 0 && word(16) != 0) {
			maybe_open = 0;
			rc = -EPROTO;
		}
	}
	if (rc) {
		/* The host may have opened it without our hearing of it */
		int undoing = hv_undoing;
		hv_undoing = 1;
		if (maybe_open)
			post_close(offer);
		gpadl_teardown(&channel->ring, offer->channel);
		hv_undoing = undoing;
		return rc;
	}
	channel->open = 1;
	return 0;
}

void vmbus_close(struct vmbus_channel *channel)
{
	if (!channel->open)
		return;
	channel->open = 0;
	/* The host has closed what it has taken away */
	if (!channel->offer->rescinded)
		post_close(channel->offer);
#ifdef NO_RING_TEARDOWN
	return;
#endif
	/* A CLOSE has no answer: with that of the rings it was heard */
	channel->unsure = gpadl_teardown(&channel->ring, channel->offer->channel) != 0;
}

/* --- the connection --- */

static int contact(void)
{
	uint32_t words[8], attempt;
	uint64_t deadline;
	int rc;

	/* Version, processor 0; no interrupt page and no monitor pages: there is no use for them */
	memset(words, 0, sizeof(words));
	words[0] = VERSION_3_0;
	for (attempt = 0; attempt < CONTACT_TRIES; attempt++) {
		rc = post(INITIATE_CONTACT, words, 8, 0);
		if (rc)
			return rc;
		must_unload = 1;
		deadline = hv_now() + (uint64_t)CONTACT_MS * TICKS_PER_MS;
		do {
			while (hv_receive(&message)) {
				/* An earlier owner's: what came behind it may be lost */
				if (message_type() == UNLOAD_RESPONSE)
					goto again;
				if (message_type() != VERSION_RESPONSE)
					continue;
				if (message.length < 9)
					return -EPROTO;
				if (message.data[8] == 0) {
					must_unload = 0;
					return -ENOTSUP;
				}
				/* An answer to an older question has another version */
				if (word(12) != 0 && word(12) != VERSION_3_0)
					continue;
				if (message.data[9] != 0) {
					must_unload = 0;
					return -EIO;
				}
				return 0;
			}
			rc = hv_turn(deadline);
		} while (!rc);
		if (rc != -ETIMEDOUT || attempt > 0)
			return rc;
again:		;
	}
	return -ETIMEDOUT;
}

static void discard_messages(void)
{
	uint32_t i;
	for (i = 0; i < SKIPPED_MAX && hv_receive(&message); i++)
		;
}

static int connect_host(void)
{
	int rc;

	/* Whatever an earlier owner was sent is not for us */
	hv_enable_sint();
	discard_messages();
	rc = contact();
	if (!rc)
		connected = 1;
	return rc;
}

static void free_leaks(void)
{
	while (leak_count) {
		leak_count--;
		hypxe_page_free(leaks[leak_count].pages, leaks[leak_count].bytes);
	}
}

int vmbus_enumerate(void)
{
	int rc;

	offer_count = 0;
	collecting = 1;
	rc = post(REQUEST_OFFERS, NULL, 0, 0);
	if (!rc)
		rc = wait_for(ALL_OFFERS_DELIVERED, 8, NULL, NULL, VMBUS_ANSWER_MS, NULL);
	/* What is there is there */
	if (rc == -ETIMEDOUT && offer_count > 0)
		rc = 0;
	collecting = 0;
	return rc;
}

/* Wait for the first device, if the list had none. There may be none at all. */
static int wait_for_nic(void)
{
	uint64_t deadline = hv_now() + (uint64_t)NIC_MS * TICKS_PER_MS;
	int rc = 0;

	collecting = 1;
	while (!rc && offer_count == 0) {
		rc = hv_turn(deadline);
		vmbus_poll();
	}
	collecting = 0;
	return rc == -ETIMEDOUT ? 0 : rc;
}

int vmbus_probe(void)
{
	int rc;

	offer_count = leak_count = 0;
	rc = connect_host();
	if (!rc)
		rc = vmbus_enumerate();
	if (!rc)
		rc = wait_for_nic();
	if (rc)
		vmbus_remove();
	return rc;
}

int vmbus_reconnect(void)
{
	uint32_t i;
	int rc = connect_host();

	if (rc)
		return rc;
	/* Until it was answered the host may still have had the old connection */
	for (i = 0; i < OFFERS_MAX; i++)
		offers[i].rescinded = 1;
	offer_count = 0;
	free_leaks();
	return 0;
}

/* Disconnect: the host lets go of whatever it still has. Never fails. */
void vmbus_remove(void)
{
	uint32_t i;
	int undoing = hv_undoing, rc = 0;

	hv_undoing = 1;
	for (i = 0; i < offer_count && connected; i++)
		if (offers[i].rescinded)
			post(RELID_RELEASED, &offers[i].channel, 1, 0);
	offer_count = 0;
#ifndef NO_UNLOAD
	if (must_unload) {
		/*
		 * Whatever the host says: without it, it keeps everything. If it was lost on its
		 * way, the host is asked anew first: some end a guest that takes leave twice.
		 */
		for (i = 0; i < UNLOAD_TRIES; i++) {
			if (rc == -ETIMEDOUT) {
				(void)contact();
				if (!must_unload)
					break;
			}
			rc = post(UNLOAD, NULL, 0, 0);
			if (rc)
				continue;
			rc = wait_for(UNLOAD_RESPONSE, 8, NULL, NULL, UNLOAD_MS, NULL);
			if (rc != -ETIMEDOUT)
				break;
		}
		if (rc)
			say(SAY_ERROR, "the host does not disconnect");
	}
#endif
	must_unload = connected = 0;
	if (rc == 0)
		free_leaks();
	leak_count = 0;
	/* Whoever comes next expects the slot empty */
	discard_messages();
	hv_disable_sint();
	hv_undoing = undoing;
}

void vmbus_poll(void)
{
	uint32_t i;
	for (i = 0; i < 64 && hv_receive(&message); i++)
		unsolicited();
}

uint32_t vmbus_offers(void)
{
	return offer_count;
}

struct vmbus_offer *vmbus_offer(uint32_t index)
{
	return &offers[index];
}
