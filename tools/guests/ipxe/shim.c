/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rest of iPXE, as far as its Hyper-V drivers see it, and the calls of hypxe: a driver guest.
 */
#include "shim.h"

#define NETDEVS_MAX 16
#define SCRATCH 2048

static struct net_device *netdevs[NETDEVS_MAX];
static unsigned int netdev_count;
static int deferred;
static int quiesced;

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

	/* iPXE is quiesced only while somebody else runs: it has taken the machine back by now */
	if (quiesced)
		hypxe_unquiesce();
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
	quiesced = 1;
}

int32_t hypxe_unquiesce(void)
{
	struct quiescer *quiescer;
	for_each_table_entry(quiescer, QUIESCERS)
		quiescer->unquiesce();
	quiesced = 0;
	return 0;
}
