/* SPDX-License-Identifier: BSD-2-Clause */
#include "netvsc.h"

#define RNDIS_PACKET 1
#define RNDIS_INITIALISE 2
#define RNDIS_HALT 3
#define RNDIS_QUERY 4
#define RNDIS_SET 5
#define RNDIS_INDICATE_STATUS 7
#define RNDIS_KEEPALIVE 8
#define RNDIS_COMPLETE 0x80000000u

#define OID_PACKET_FILTER 0x0001010e
#define OID_MEDIA_CONNECT_STATUS 0x00010114
#define OID_CURRENT_ADDRESS 0x01010102

#define STATUS_MEDIA_CONNECT 0x4001000bu
#define STATUS_MEDIA_DISCONNECT 0x4001000cu

#define ANSWER_MS 10000
/* What is said at the end need not be heard: a host that is slow is not waited for so long. */
#define FAREWELL_MS 1000
#define MAX_TRANSFER 2048
/* Offsets inside of messages count from here */
#define BODY 8

static uint32_t last_id;

static uint32_t word(const uint8_t *message, uint32_t offset)
{
	uint32_t value;
	memcpy(&value, message + offset, 4);
	return value;
}

/* Send a request, and wait for the answer to it of at least this length. Word 2 is its number. */
static int request(struct nic *nic, uint32_t *words, size_t length, uint32_t least, uint32_t ms)
{
	uint64_t deadline = hv_now() + (uint64_t)ms * TICKS_PER_MS;
	int rc;

	words[1] = length;
	words[2] = ++last_id;
	nic->rndis_type = words[0] | RNDIS_COMPLETE;
	nic->rndis_wanted = last_id;
	nic->rndis_answered = 0;
	/* There may be no room for a moment */
	for (;;) {
		rc = netvsc_send(nic, 1, words, length, NULL, 0);
		if (rc != -EAGAIN)
			break;
		netvsc_poll(nic);
		rc = hv_turn(deadline);
		if (rc)
			break;
	}
	while (!rc) {
		netvsc_poll(nic);
		if (nic->rndis_answered)
			break;
		rc = netvsc_is_dead(nic) ? -EPIPE : hv_turn(deadline);
	}
	nic->rndis_wanted = 0;
	if (rc)
		return rc;
	if (nic->rndis_answer_length < least)
		return -EPROTO;
	return word(nic->rndis_answer, 12) == 0 ? 0 : -EIO;
}

/* Ask for something of this length: returns where it is in the answer, or a negative errno. */
static int query(struct nic *nic, uint32_t oid, uint32_t length)
{
	uint32_t words[7] = { RNDIS_QUERY, 0, 0, oid, 0, 20, 0 };
	uint32_t offset;
	int rc = request(nic, words, sizeof(words), 24, ANSWER_MS);

	if (rc)
		return rc;
	offset = word(nic->rndis_answer, 20);
	if (word(nic->rndis_answer, 16) != length || offset > 64 ||
	    BODY + offset + length > nic->rndis_answer_length)
		return -EPROTO;
	return BODY + offset;
}

int rndis_filter(struct nic *nic, uint32_t filter)
{
	uint32_t words[8] = { RNDIS_SET, 0, 0, OID_PACKET_FILTER, 4, 20, 0, filter };

	return request(nic, words, sizeof(words), 16, filter ? ANSWER_MS : FAREWELL_MS);
}

int rndis_open(struct nic *nic)
{
	uint32_t words[6] = { RNDIS_INITIALISE, 0, 0, 1, 0, MAX_TRANSFER };
	int rc, at;

	nic->link = -1;
	nic->initialised = 1;
	rc = request(nic, words, sizeof(words), 16, ANSWER_MS);
	if (rc)
		return rc;
	at = query(nic, OID_CURRENT_ADDRESS, MAC_LENGTH);
	if (at < 0)
		return at;
	memcpy(nic->mac, nic->rndis_answer + at, MAC_LENGTH);
	at = query(nic, OID_MEDIA_CONNECT_STATUS, 4);
	if (at >= 0)
		nic->link = word(nic->rndis_answer, at) == 0;
	/* A host need not know its link; but if it was cancelled, or is gone, that counts */
	return at == -ECANCELED || at == -EPIPE ? at : 0;
}

/* There is no answer to HALT. */
void rndis_close(struct nic *nic)
{
#ifndef NO_HALT
	uint32_t words[3] = { RNDIS_HALT, 12, 0 };

	if (nic->initialised)
		(void)netvsc_send(nic, 1, words, sizeof(words), NULL, 0);
#endif
	nic->initialised = 0;
}

int rndis_transmit(struct nic *nic, const void *frame, size_t length)
{
	uint32_t words[11] = { RNDIS_PACKET, 0, 0, 0 };

	words[1] = sizeof(words) + length;
	words[2] = sizeof(words) - BODY;
	words[3] = length;
	return netvsc_send(nic, 0, words, sizeof(words), frame, length);
}

static void keepalive(struct nic *nic, uint32_t id)
{
	uint32_t words[4] = { RNDIS_KEEPALIVE | RNDIS_COMPLETE, 16, id, 0 };
	(void)netvsc_send(nic, 1, words, sizeof(words), NULL, 0);
}

/* A message of the host, copied. What it says of its own length is not believed. */
void rndis_received(struct nic *nic, uint8_t *message, size_t length)
{
	uint32_t type, offset, bytes;

	if (length < 12)
		return;
	type = word(message, 0);
	if (type == RNDIS_PACKET && length >= 44) {
		offset = word(message, 8);
		bytes = word(message, 12);
		if (nic->open && offset <= length - BODY && bytes <= length - BODY - offset &&
		    bytes <= FRAME_MAX)
			hypxe_received(nic->index, message + BODY + offset, bytes);
	} else if (type == RNDIS_INDICATE_STATUS) {
		if (word(message, 8) == STATUS_MEDIA_CONNECT)
			nic->link = 1;
		if (word(message, 8) == STATUS_MEDIA_DISCONNECT)
			nic->link = 0;
	} else if (type == RNDIS_KEEPALIVE) {
		keepalive(nic, word(message, 8));
	} else if (nic->rndis_wanted && type == nic->rndis_type &&
		   word(message, 8) == nic->rndis_wanted) {
		if (length > sizeof(nic->rndis_answer))
			length = sizeof(nic->rndis_answer);
		memset(nic->rndis_answer, 0, sizeof(nic->rndis_answer));
		memcpy(nic->rndis_answer, message, length);
		nic->rndis_answer_length = length;
		nic->rndis_answered = 1;
		nic->rndis_wanted = 0;
	}
}
