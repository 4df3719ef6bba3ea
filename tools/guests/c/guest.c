/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver guest: what hypxe calls. The loader on top (DHCP, TFTP) is hypxe's.
 */
#include "netvsc.h"

static struct nic nics[NICS_MAX];
static uint32_t nic_count;
static uint32_t buffer[2048 / 4];

uint32_t hypxe_abi(void)
{
	return HYPXE_ABI;
}

static void close_nic(struct nic *nic)
{
	int undoing = hv_undoing;

	if (!nic->present)
		return;
	nic->present = 0;
	hv_undoing = 1;
	rndis_close(nic);
	netvsc_close(nic);
	hv_undoing = undoing;
}

/* Take the machine back, and make the connection anew: as hv_unquiesce. */
static int take_back(void)
{
	uint32_t i;
	int rc = hv_unquiesce();

	if (rc <= 0)
		return rc;
	rc = vmbus_reconnect();
	if (rc) {
		/* The host may have connected us all the same */
		vmbus_remove();
		hv_quiesce();
		return rc;
	}
	for (i = 0; i < nic_count; i++)
		netvsc_forget(&nics[i]);
	return 1;
}

/* Undo everything: the mirror image of hypxe_probe. */
void hypxe_remove(void)
{
	uint32_t i;

	hv_undoing = 1;
	if (!hv_running && take_back() <= 0) {
		/* The host keeps what it has, and so do we: it is reserved for whoever comes next */
		hv_undoing = 0;
		return;
	}
	for (i = nic_count; i > 0; i--) {
		hypxe_close(i - 1);
		close_nic(&nics[i - 1]);
	}
	nic_count = 0;
	vmbus_remove();
	hv_remove();
	hv_undoing = 0;
}

static int probe_nic(struct nic *nic, struct vmbus_offer *offer)
{
	int rc;

	memcpy(nic->instance, offer->instance, sizeof(nic->instance));
	rc = netvsc_open(nic, offer);
	if (rc)
		return rc;
	nic->present = 1;
	rc = rndis_open(nic);
	if (rc)
		close_nic(nic);
	return rc;
}

int32_t hypxe_probe(void)
{
	uint32_t i;
	int rc;

	rc = hv_probe();
	if (rc)
		return rc;
	rc = vmbus_probe();
	if (rc) {
		hv_undoing = 1;
		hv_remove();
		hv_undoing = 0;
		return rc;
	}
	/* A device that is no good is left out */
	for (i = 0; i < vmbus_offers(); i++) {
		struct nic *nic = &nics[nic_count];

		memset(nic, 0, sizeof(*nic));
		nic->index = nic_count;
		rc = probe_nic(nic, vmbus_offer(i));
		if (rc == -ECANCELED) {
			hypxe_remove();
			return rc;
		}
		if (rc == 0)
			nic_count++;
		else
			say(SAY_WARNING, "a network device could not be opened");
	}
	return (int32_t)nic_count;
}

void hypxe_mac(uint32_t device, uint8_t *out)
{
	memcpy(out, nics[device].mac, MAC_LENGTH);
}

int32_t hypxe_link(uint32_t device)
{
	return nics[device].link;
}

int32_t hypxe_open(uint32_t device)
{
	struct nic *nic = &nics[device];
	int rc;

	/* Frames may come before the answer does */
	nic->open = 1;
	rc = rndis_filter(nic, FILTER_DIRECTED | FILTER_ALL_MULTICAST | FILTER_BROADCAST);
	if (rc) {
		nic->open = 0;
		hv_undoing = 1;
		(void)rndis_filter(nic, 0);
		hv_undoing = 0;
	}
	return rc;
}

void hypxe_close(uint32_t device)
{
	struct nic *nic = &nics[device];
	int undoing = hv_undoing;

	if (!nic->open)
		return;
	nic->open = 0;
	hv_undoing = 1;
#ifndef NO_FILTER_OFF
	if (!netvsc_is_dead(nic))
		(void)rndis_filter(nic, 0);
#endif
	hv_undoing = undoing;
}

static int find_again(struct nic *nic)
{
	int was_open = nic->open, rc;
	uint32_t i;

	nic->present = nic->open = 0;
	for (i = 0; i < vmbus_offers(); i++) {
		if (memcmp(vmbus_offer(i)->instance, nic->instance, sizeof(nic->instance)) != 0)
			continue;
		rc = probe_nic(nic, vmbus_offer(i));
		return rc || !was_open ? rc : hypxe_open(nic->index);
	}
	return -ENODEV;
}

/* Leave the machine to somebody else: pages and interrupts are off, channels stay open. */
void hypxe_quiesce(void)
{
	hv_quiesce();
}

/* Take it back, unless somebody else has it. What fails is tried again by the next call. */
int32_t hypxe_unquiesce(void)
{
	uint32_t i;
	int rc = take_back();

	if (rc <= 0)
		return rc;
	rc = vmbus_enumerate();
	for (i = 0; i < nic_count && rc == 0; i++) {
		rc = find_again(&nics[i]);
		if (rc == 0 || rc == -ECANCELED)
			continue;
		say(SAY_WARNING, "a network device is not there again");
		rc = 0;
	}
	if (rc)
		hv_quiesce();
	return rc;
}

void *hypxe_buffer(void)
{
	return buffer;
}

int32_t hypxe_transmit(uint32_t device, const void *frame, size_t length)
{
	if (length > FRAME_MAX)
		return -EINVAL;
	return rndis_transmit(&nics[device], frame, length);
}

void hypxe_poll(uint32_t device)
{
	netvsc_poll(&nics[device]);
}
