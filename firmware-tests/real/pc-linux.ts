// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Debian's i386 kernels with an initramfs of a few programs: what it does when it is up stands in
 * its command line (`hypxe=kexec`, `hypxe=crash`, `hypxe=again`: kexec of the same kernel, which
 * then does `hypxe=kexec`; `hypxe=rmmod`: without the drivers); with `hypxe.keyboard` it has the
 * driver of a keyboard, too. The files come from `.ci/install-pc`.
 */

import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where `.ci/install-pc` has put them. */
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/hypxe-pc/', import.meta.url));
/** The programs, and the kernel of this Debian. */
const ROOT = path.join(CACHE, 'root');

/** The kernel of this Debian; others have their own version in the name. */
export const LINUX = 'linux-image-686';

/** Modules in the order in which they go in; the clocks are built in where the file is missing. */
const MODULES = [
  ...['drivers/pps/pps_core', 'drivers/ptp/ptp'],
  ...['drivers/hv/hv_vmbus', 'drivers/hv/hv_utils', 'drivers/net/hyperv/hv_netvsc'],
  'drivers/input/serio/hyperv-keyboard',
];
const LIBRARIES = ['ld-linux.so.2', 'libc.so.6', 'liblzma.so.5', 'libz.so.1'];

const rootOf = (kernel: string): string => (kernel === LINUX ? ROOT : path.join(CACHE, kernel));

/** Whether a kernel, or what else was unpacked beside it, is here. */
export function isUnpacked(name: string): boolean {
  return fs.existsSync(path.join(CACHE, 'complete')) && fs.existsSync(rootOf(name));
}

/** Path of a file that was unpacked beside the kernels. */
export function unpackedFile(name: string, file: string): string {
  return path.join(CACHE, name, file);
}

/** Path of a kernel. */
export function kernelFile(kernel = LINUX): string {
  const boot = path.join(rootOf(kernel), 'boot');
  return path.join(
    boot,
    fs.readdirSync(boot).find((name) => name.startsWith('vmlinuz'))!,
  );
}

/** What runs first: drivers, network, and then what the command line says. */
const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for each in pps_core ptp; do [ ! -e /lib/$each.ko ] || insmod /lib/$each.ko; done
insmod /lib/hv_vmbus.ko && insmod /lib/hv_netvsc.ko && insmod /lib/hv_utils.ko
case "$(cat /proc/cmdline)" in *hypxe.keyboard*) insmod /lib/hyperv-keyboard.ko ;; esac
sleep 1
keyboard=$(ls -d /sys/bus/vmbus/drivers/hyperv_keyboard/*-*/serio* 2>/dev/null)
[ -z "$keyboard" ] || echo "hypxe: keyboard"
ip link set eth0 up
printf '#!/bin/sh\\n[ "$1" = bound ] && ip addr add $ip/24 dev eth0\\n' >/bin/lease
chmod +x /bin/lease
udhcpc -i eth0 -n -q -f -s /bin/lease && echo "hypxe: lease"
ping -c 2 -W 2 192.168.77.1 && echo "hypxe: ping"
tftp -g -r hypxe.lkrn -l /tmp/next 192.168.77.1 && echo "hypxe: tftp $(wc -c </tmp/next)"
echo "hypxe: clock $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
start() { kexec -l /tmp/next --append=x && kexec -e; }
case "$(cat /proc/cmdline)" in
*hypxe=kexec*) start ;;
*hypxe=crash*) kexec -p /tmp/next --append=x && echo c >/proc/sysrq-trigger ;;
*hypxe=again*)
  tftp -g -r vmlinuz -l /tmp/vmlinuz 192.168.77.1 && tftp -g -r initrd -l /tmp/initrd 192.168.77.1
  kexec -l /tmp/vmlinuz --initrd=/tmp/initrd --append="$(sed s/again/kexec/ /proc/cmdline)"
  kexec -e
  ;;
*hypxe=rmmod*)
  for each in hv_netvsc hv_utils hv_vmbus; do rmmod $each && echo "hypxe: removed $each"; done
  start
  ;;
esac
echo "hypxe: ready"
exec sh
`;

const DIRECTORY = 0o40755;
const PROGRAM = 0o100755;
const DEVICE = 0o20666;

/** The initramfs: a cpio archive of the form "newc" (Linux, early-userspace/buffer-format). */
export function initramfs(kernel = LINUX): Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  const put = (bytes: Buffer): void => {
    const padded = Buffer.alloc(Math.ceil((size + bytes.length) / 4) * 4 - size);
    bytes.copy(padded);
    parts.push(padded);
    size += padded.length;
  };
  let inode = 0;
  const add = (
    name: string,
    mode: number,
    data: Buffer = Buffer.alloc(0),
    device = [0, 0],
  ): void => {
    const fields = [++inode, mode, 0, 0, 1, 0, data.length, 0, 0, ...device, name.length + 1, 0];
    const header = fields.map((value) => value.toString(16).padStart(8, '0')).join('');
    put(Buffer.from(`070701${header}${name}\0`));
    put(data);
  };
  const file = (name: string, root = ROOT): Buffer => fs.readFileSync(path.join(root, name));
  for (const name of ['bin', 'sbin', 'lib', 'dev', 'proc', 'sys', 'tmp']) add(name, DIRECTORY);
  add('dev/console', DEVICE, undefined, [5, 1]);
  add('dev/null', DEVICE, undefined, [1, 3]);
  add('bin/busybox', PROGRAM, file('bin/busybox'));
  add('sbin/kexec', PROGRAM, file('sbin/kexec'));
  for (const name of LIBRARIES) add(`lib/${name}`, PROGRAM, file(`lib/i386-linux-gnu/${name}`));
  const root = rootOf(kernel);
  const [release] = fs.readdirSync(path.join(root, 'lib/modules'));
  for (const name of MODULES) {
    const module = `lib/modules/${release}/kernel/${name}.ko`;
    if (fs.existsSync(path.join(root, module)))
      add(`lib/${path.basename(name)}.ko`, PROGRAM, file(module, root));
  }
  add('init', PROGRAM, Buffer.from(INIT));
  add('TRAILER!!!', 0);
  return Buffer.concat(parts);
}
