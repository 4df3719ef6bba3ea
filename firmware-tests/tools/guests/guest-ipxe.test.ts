// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * `hypxe guest ipxe` without iPXE: a tree of ours, with files of the same names that use the same
 * interfaces of iPXE in the same ways.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { directory, hypxe, write } from '../../rigs/cli-rig.ts';
import { boot, missingCompiler } from '../../rigs/guests/compiled-guest.ts';

const ipxe = suite('guest of an iPXE tree');

/** The hypervisor of the tree: it is found, and has one device on its bus. */
const HYPERV = `
#include <stdarg.h>
#include <stdio.h>
#include <errno.h>
#include <assert.h>
#include <pic8259.h>
#include <ipxe/malloc.h>
#include <ipxe/device.h>
#include <ipxe/timer.h>
#include <ipxe/quiesce.h>
#include <ipxe/cpuid.h>
#include <ipxe/msr.h>
#include <ipxe/hyperv.h>
#include <ipxe/vmbus.h>

FILE_LICENCE ( GPL2_OR_LATER_OR_UBDL );
FILE_SECBOOT ( PERMITTED );

static int hv_probe ( struct root_device *rootdev ) {
	struct x86_features features;
	uint32_t id, ebx, ecx, edx;
	struct hv_hypervisor *hv;

	assert ( IRQ_INT ( 13 ) == 0x75 );
	x86_features ( &features );
	if ( ! ( features.intel.ecx & CPUID_FEATURES_INTEL_ECX_HYPERVISOR ) )
		return -ENODEV;
	cpuid ( 0x40000001, 0, &id, &ebx, &ecx, &edx );
	cpuid ( 0x40000001, &id, &ebx, &ecx, &edx );
	DBGC ( rootdev, "HV is %#08x, \\"%s\\" %d %zu\\n", id, "Hv#1", -7, sizeof ( *hv ) );
	hv = zalloc ( sizeof ( *hv ) );
	if ( ! hv )
		return -ENOMEM;
	hv->hypercall = malloc_phys ( PAGE_SIZE, PAGE_SIZE );
	wrmsr ( 0x40000000, 0x98ae000000000000ULL );
	wrmsr ( 0x40000001, ( virt_to_phys ( hv->hypercall ) | 1 ) );
	mb();
	rootdev_set_drvdata ( rootdev, hv );
	return vmbus_probe ( hv, &rootdev->dev );
}

static void hv_remove ( struct root_device *rootdev ) {
	struct hv_hypervisor *hv = rootdev_get_drvdata ( rootdev );

	vmbus_remove ( hv, &rootdev->dev );
	wrmsr ( 0x40000001, ( rdmsr ( 0x40000001 ) & 0xffe ) );
	wrmsr ( 0x40000000, 0 );
	free_phys ( hv->hypercall, PAGE_SIZE );
	free ( hv );
}

static struct root_driver hv_root_driver = { .probe = hv_probe, .remove = hv_remove };
struct root_device hv_root_device __root_device = {
	.dev = { .name = "Hyper-V" }, .driver = &hv_root_driver,
};
static void hv_quiesce ( void ) {}
struct quiescer hv_quiescer __quiescer = { .quiesce = hv_quiesce, .unquiesce = hv_quiesce };
struct timer hv_timer __timer ( TIMER_PREFERRED ) = { .name = "Hyper-V" };
REQUIRING_SYMBOL ( hv_root_device );
REQUIRE_OBJECT ( netvsc );
`;

/** The bus: structures that end in as many pages as a variable says, and a table of drivers. */
const VMBUS = `
#include <string.h>
#include <errno.h>
#include <byteswap.h>
#include <ipxe/iobuf.h>
#include <ipxe/bitops.h>
#include <ipxe/hyperv.h>
#include <ipxe/vmbus.h>

static struct vmbus_device bus_device;

/* The sizes of what ends in pages are what they would be */
static int first ( void *data, size_t len ) {
	physaddr_t addr = virt_to_phys ( data );
	unsigned int pfn_count = hv_pfn_count ( addr, len );
	struct {
		uint8_t header[20];
		uint8_t range[8];
		uint64_t pfn[pfn_count];
	} __attribute__ (( packed )) gpadlhdr;
	unsigned int i;

	memset ( &gpadlhdr, 0, sizeof ( gpadlhdr ) );
	for ( i = 0 ; i < pfn_count ; i++ )
		gpadlhdr.pfn[i] = ( ( addr / PAGE_SIZE ) + i );
	return ( ( sizeof ( gpadlhdr ) << 16 ) | sizeof ( gpadlhdr.pfn ) );
}

static int second ( void *data, size_t len ) {
	physaddr_t addr = virt_to_phys ( data );
	unsigned int pfn_count = hv_pfn_count ( addr, len );
	static uint64_t packet[64];
	struct {
		uint8_t header[24];
		uint8_t range[8];
		uint64_t pfn[pfn_count];
	} __attribute__ (( packed )) *header = ( void * ) packet;
	unsigned int i;

	for ( i = 0 ; i < pfn_count ; i++ )
		header->pfn[i] = i;
	return ( sizeof ( *header ) / 8 );
}

int vmbus_probe ( struct hv_hypervisor *hv, struct device *parent ) {
	void *pages = malloc_phys ( ( 3 * PAGE_SIZE ), PAGE_SIZE );
	struct vmbus_driver *driver;
	uint8_t bits[4] = { 0 };
	int rc = -ENODEV;

	set_bit ( 9, bits );
	if ( bits[1] != 2 || cpu_to_be16 ( 0x1234 ) != 0x3412 )
		return -EINVAL;
	if ( ! hv->hypercall || ! list_empty ( &parent->children ) )
		return -EINVAL;
	if ( first ( pages, ( 3 * PAGE_SIZE ) ) != ( ( 52 << 16 ) | 24 ) )
		return -ERANGE;
	if ( second ( pages, PAGE_SIZE ) != 5 )
		return -ERANGE;
	free_phys ( pages, ( 3 * PAGE_SIZE ) );
	snprintf ( bus_device.dev.name, sizeof ( bus_device.dev.name ), "{%s}",
		   uuid_ntoa ( &bus_device.instance ) );
	if ( strcmp ( bus_device.dev.name, "{00000000-0000-0000-0000-000000000000}" ) != 0 )
		return -EPROTO;
	list_add_tail ( &bus_device.dev.siblings, &parent->children );
	for_each_table_entry ( driver, VMBUS_DRIVERS ) {
		bus_device.driver = driver;
		rc = driver->probe ( &bus_device );
	}
	return rc;
}

void vmbus_remove ( struct hv_hypervisor *hv __unused, struct device *parent ) {
	struct vmbus_device *vmdev, *tmp;

	list_for_each_entry_safe ( vmdev, tmp, &parent->children, dev.siblings ) {
		vmdev->driver->remove ( vmdev );
		list_del ( &vmdev->dev.siblings );
	}
}
`;

/** The NIC: frames go nowhere, and are done at once. */
const NETVSC = `
#include <string.h>
#include <errno.h>
#include <ipxe/umalloc.h>
#include <ipxe/netdevice.h>
#include <ipxe/ethernet.h>
#include <ipxe/vmbus.h>
#include <ipxe/rndis.h>
#include "netvsc.h"

static struct net_device *netdev;
static void *buffer;

static int netvsc_probe ( struct vmbus_device *vmdev ) {
	static const uint8_t mac[ETH_ALEN] = { 2, 0, 0, 0, 0, NETVSC_LAST };

	netdev = alloc_etherdev ( 16 );
	if ( ! netdev )
		return -ENOMEM;
	netdev_init ( netdev, &netvsc_operations );
	netdev->dev = &vmdev->dev;
	memcpy ( netdev->hw_addr, mac, sizeof ( mac ) );
	buffer = umalloc ( 65536 );
	netdev_link_up ( netdev );
	return register_netdev ( netdev );
}

static void netvsc_remove ( struct vmbus_device *vmdev __unused ) {
	unregister_netdev ( netdev );
	ufree ( buffer );
	netdev_nullify ( netdev );
	netdev_put ( netdev );
}

struct vmbus_driver netvsc_driver __vmbus_driver = {
	.name = "netvsc", .probe = netvsc_probe, .remove = netvsc_remove,
};
`;

const RNDIS = `
#include <unistd.h>
#include <errno.h>
#include <ipxe/iobuf.h>
#include <ipxe/netdevice.h>
#include <ipxe/rndis.h>

static int opened ( struct net_device *netdev __unused ) { mdelay ( 1 ); return 0; }
static void closed ( struct net_device *netdev __unused ) {}
static int transmit ( struct net_device *netdev, struct io_buffer *iobuf ) {
	void *header = iob_push ( iobuf, 44 );

	if ( iob_len ( iobuf ) < 58 || header != iobuf->data )
		return -EINVAL;
	iob_pull ( iobuf, 44 );
	netdev_tx_complete_err ( netdev, iob_disown ( iobuf ), 0 );
	return 0;
}
static void poll ( struct net_device *netdev ) {
	struct io_buffer *iobuf = alloc_iob ( 64 );

	if ( ! iobuf ) {
		netdev_rx_err ( netdev, NULL, -ENOMEM );
		return;
	}
	memset ( iob_put ( iobuf, 60 ), 0xff, 60 );
	netdev_rx ( netdev, iobuf );
}
struct net_device_operations netvsc_operations = {
	.open = opened, .close = closed, .transmit = transmit, .poll = poll,
};
`;

const HEADERS: Readonly<Record<string, string>> = {
  'include/ipxe/hyperv.h': `
#ifndef _IPXE_HYPERV_H
#define _IPXE_HYPERV_H
#include <stdint.h>
#include <ipxe/io.h>
struct hv_hypervisor { void *hypercall; };
#include <bits/hyperv.h>
static inline unsigned int hv_pfn_count ( physaddr_t data, size_t len ) {
	return ( ( ( data + len - 1 ) / PAGE_SIZE ) - ( data / PAGE_SIZE ) + 1 );
}
#endif
`,
  'include/ipxe/vmbus.h': `
#ifndef _IPXE_VMBUS_H
#define _IPXE_VMBUS_H
#include <ipxe/uuid.h>
#include <ipxe/device.h>
#include <ipxe/tables.h>
struct hv_hypervisor;
struct vmbus_driver;
struct vmbus_device { struct device dev; union uuid instance; struct vmbus_driver *driver; };
struct vmbus_driver {
	const char *name;
	int ( * probe ) ( struct vmbus_device *vmdev );
	void ( * remove ) ( struct vmbus_device *vmdev );
};
#define VMBUS_DRIVERS __table ( struct vmbus_driver, "vmbus_drivers" )
#define __vmbus_driver __table_entry ( VMBUS_DRIVERS, 01 )
int vmbus_probe ( struct hv_hypervisor *hv, struct device *parent );
void vmbus_remove ( struct hv_hypervisor *hv, struct device *parent );
#endif
`,
  'include/ipxe/rndis.h': `
#include <ipxe/netdevice.h>
extern struct net_device_operations netvsc_operations;
`,
  'drivers/net/netvsc.h': '#define NETVSC_LAST 9\n',
};

function writeTree(name: string, changes: Readonly<Record<string, string>> = {}): string {
  const files = {
    ...HEADERS,
    'arch/x86/drivers/hyperv/hyperv.c': HYPERV,
    'interface/hyperv/vmbus.c': VMBUS,
    'drivers/net/netvsc.c': NETVSC,
    'net/rndis.c': RNDIS,
    ...changes,
  };
  for (const [file, text] of Object.entries(files)) write(`${name}/src/${file}`, text);
  return name;
}

ipxe('a tree that uses its interfaces is a driver that runs', async () => {
  if (missingCompiler('c')) return;
  const made = await hypxe('guest', 'ipxe', writeTree('ipxe-like'), '-o', 'like.wasm');
  assert.is(made.error, '');
  assert.is(made.code, 0);
  assert.match(made.out, /^like\.wasm: \d+ bytes, a driver/);

  // Nobody answers its frames; whatever it had is given back
  const report = boot('like.wasm', { secondBoot: false });
  assert.is(report.ended, undefined, JSON.stringify(report.ended));
  assert.equal(
    report.findings.filter(({ severity }) => severity === 'error'),
    [],
  );
  assert.is(report.boot?.error?.name, 'NoDhcpAnswer');
  const usable = report.boot!.memoryMap.filter(({ type }) => type === 'reserved');
  assert.equal(usable, []);
});

ipxe('what nothing stands for is said by its name', async () => {
  if (missingCompiler('c')) return;
  const changes = { 'net/rndis.c': `${RNDIS}\nint x = netdev_unheard_of ( 1 );\n` };
  const run = await hypxe('guest', 'ipxe', writeTree('ipxe-new', changes), '-o', 'new.wasm');
  assert.is(run.code, 4);
  assert.match(run.error, /CompileFailed: .*rndis\.c does not compile:[^]*netdev_unheard_of/);
});

ipxe('a folder that is no checkout is refused', async () => {
  if (missingCompiler('c')) return;
  const run = await hypxe('guest', 'ipxe', '.');
  assert.is(run.code, 2);
  assert.match(run.error, /NoIpxe: \. has no src\/interface\/hyperv\/vmbus\.c/);
});

for (const [what, spoil, code, says] of [
  [
    'a header of its own is missing',
    (tree: string) => fs.rmSync(path.join(tree, 'src/include/ipxe/rndis.h')),
    4,
    /FileMissing: .*ipxe\/rndis\.h does not exist\n {7}Name a whole checkout of iPXE\./,
  ],
  [
    'a driver is a folder',
    (tree: string) => {
      fs.rmSync(path.join(tree, 'src/net/rndis.c'));
      fs.mkdirSync(path.join(tree, 'src/net/rndis.c'));
    },
    2,
    /NotAFile: .*rndis\.c is a directory/,
  ],
  [
    'a header is a folder of headers, too',
    (tree: string) =>
      fs.appendFileSync(path.join(tree, 'src/net/rndis.c'), '#include <a>\n#include <a/b>\n'),
    2,
    /NoIpxe: nothing can stand in for the header a\/b: /,
  ],
] as const) {
  ipxe(`a tree in which ${what} is refused by name`, async () => {
    if (missingCompiler('c')) return;
    const tree = writeTree(`ipxe-${code}-${what.length}`);
    spoil(path.join(directory, tree));
    const run = await hypxe('guest', 'ipxe', tree, '-o', 'spoilt.wasm');
    assert.match(run.error, says);
    assert.is(run.code, code);
    assert.not.ok(fs.existsSync(path.join(directory, 'spoilt.wasm')));
  });
}

ipxe('a guest that cannot be written is said before anything is compiled', async () => {
  if (missingCompiler('c')) return;
  const run = await hypxe('guest', 'ipxe', writeTree('ipxe-unwritten'), '-o', 'nowhere/x.wasm');
  assert.match(run.error, /FileUnwritable: nowhere\/x\.wasm/);
  assert.is(run.code, 4);
});

ipxe.run();
