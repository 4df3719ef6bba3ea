// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Leaving the machine to somebody else for a while, with the channels open, and taking it back:
 * what a boot from a SAN needs (iPXE hv_unquiesce, vmbus_reset). It is no part of an OS: the
 * firmware `hypxe` has it.
 */

import { detect } from '../hyperv/detect.ts';
import { takeOver } from '../hyperv/owner.ts';
import { HV_ENABLE, Msr } from '../hyperv/protocol.ts';
import type { VmbusBus } from '../vmbus/bus.ts';
import type { Offer } from '../vmbus/offer.ts';

/** Does it for drivers that have been probed, until they are removed. */
export class SanPart {
  readonly #bus: VmbusBus;
  #quiesced = false;
  /** A reset has failed: the next try must do it again, whatever SIMP says. */
  #resetFailed = false;

  /** @param bus of the drivers */
  constructor({ bus }: { readonly bus: VmbusBus }) {
    this.#bus = bus;
  }

  /**
   * Leave the machine to somebody who takes over without a proper handoff. Channels stay open;
   * nothing may be sent until {@link unquiesce}.
   */
  quiesce(): void {
    const { hv } = this.#bus;
    if (!hv.isRunning) return;
    hv.quiesce();
    this.#quiesced = true;
  }

  /**
   * Take the machine back, connect anew and reset the devices; unless somebody else has mapped a
   * message page, and owns the SynIC now.
   *
   * @throws HypxeError if the host does not connect; the next call tries again
   */
  unquiesce(): void {
    const bus = this.#bus;
    const { hv } = bus;
    if (!hv.isRunning && !this.#quiesced) return;
    if (!(hv.platform.read(Msr.SIMP) & HV_ENABLE)) {
      // Whoever had it in between may have left it as any earlier owner
      takeOver(hv.platform, detect(hv.platform), hv.log);
      try {
        hv.mapAll();
      } catch (error) {
        hv.unmapAll(false);
        throw error;
      }
    } else if (!this.#resetFailed) return;
    this.#resetFailed = true;
    resetBus(bus);
    this.#quiesced = this.#resetFailed = false;
  }

  /** Before the drivers are removed: else the host would keep everything. Never throws. */
  end(): void {
    const { hv } = this.#bus;
    const text = 'could not take the machine back';
    if (!hv.isRunning) hv.log.attempt('error', 'HV', '', text, () => this.unquiesce());
    this.#quiesced = this.#resetFailed = false;
  }
}

/**
 * Make the connection anew after somebody else has had it, and reset every device.
 *
 * @throws HypxeError if there is no connection; it may be tried again
 */
function resetBus(bus: VmbusBus): void {
  const { connection, hv } = bus;

  // The old channels are dead, whatever becomes of the new connection
  for (const device of bus.bound) device.abandon();
  connection.reset();
  bus.options.contact(connection);
  // Contacting the host has disconnected whoever was connected: our old buffers are free
  bus.gpadls.forgetAll('INITIATE_CONTACT');
  matchOffers(bus, bus.enumerate());
  for (const { name, instance } of bus.bound) {
    hv.log.attempt('error', 'VMBUS', name, 'could not be reset', () => instance!.reset());
  }
}

/** Find each device by its instance; its channel may be another one now. */
function matchOffers(bus: VmbusBus, offers: readonly Offer[]): void {
  const { log } = bus.hv;
  for (const device of bus.bound) {
    const { name, instanceId, channelId, instance } = device;
    const offer = offers.find((other) => other.instanceId === instanceId);
    if (!offer) {
      log.warning('VMBUS', name, 'is not offered any more');
      device.rescinded = true;
      instance!.rescinded();
      bus.forget(device);
      continue;
    }
    if (offer.channel !== channelId) {
      log.info('VMBUS', name, `moved to channel ${offer.channel}`);
    }
    device.offer = offer;
    device.rescinded = false;
  }
}
