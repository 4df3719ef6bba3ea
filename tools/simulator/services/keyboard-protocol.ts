// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The synthetic keyboard: messages in in-band packets, without a pipe header (Linux
 * drivers/input/serio/hyperv-keyboard.c, whose names these are; OpenVMM uidevices). Nothing but
 * definitions.
 */

import { struct } from '../../../src/wire.ts';

/** Class and the one instance (HV_KBD_GUID; OpenVMM). */
export const KEYBOARD_INTERFACE = 'f912ad6d-2b17-48ea-bd65-f927a61c7684';
export const KEYBOARD_INSTANCE = 'd34b2567-b9b6-42b9-8778-0a4ec0b955bf';

/** The only version: 1.0 (SYNTH_KBD_VERSION). */
export const KEYBOARD_VERSION = 0x00010000;

export const KeyboardMessageType = {
  PROTOCOL_REQUEST: 1,
  PROTOCOL_RESPONSE: 2,
  EVENT: 3,
  LED_INDICATORS: 4,
} as const;

/** KeyboardResponse.status: PROTOCOL_ACCEPTED. */
export const KEYBOARD_ACCEPTED = 1;

/** KeyboardKeystroke.info. */
export const KeystrokeFlag = {
  UNICODE: 1,
  /** The key is let go. */
  BREAK: 2,
  /** The make code has the prefix 0xe0, or 0xe1. */
  E0: 4,
  E1: 8,
} as const;

export const KeyboardHeader = struct('SYNTH_KBD_MSG_HDR', 4, { type: [0, 4] });

export const KeyboardRequest = struct('SYNTH_KBD_PROTOCOL_REQUEST', 8, {
  type: [0, 4],
  version: [4, 4],
});

export const KeyboardResponse = struct('SYNTH_KBD_PROTOCOL_RESPONSE', 8, {
  type: [0, 4],
  status: [4, 4],
});

export const KeyboardKeystroke = struct('SYNTH_KBD_KEYSTROKE', 12, {
  type: [0, 4],
  makeCode: [4, 2],
  reserved: [6, 2],
  info: [8, 4],
});

/** Linux sends none; OpenVMM reads it and has no LEDs. That it has four bytes is inferred. */
export const KeyboardLeds = struct('SYNTH_KBD_LED_INDICATORS', 8, {
  type: [0, 4],
  state: [4, 4],
});
