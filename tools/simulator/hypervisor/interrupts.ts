// SPDX-License-Identifier: GPL-2.0-or-later

/** Interrupts on their way to a processor: who has a local APIC takes them. */

/**
 * Takes an interrupt that the hypervisor raises on a virtual processor.
 *
 * @param vp the virtual processor
 * @param vector of a SINT, or of a timer in direct mode
 * @param autoEoi the processor is not to wait for its end (SINT bit 17)
 */
export type InterruptSink = (vp: number, vector: number, autoEoi: boolean) => void;
