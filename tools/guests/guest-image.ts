// SPDX-License-Identifier: GPL-2.0-or-later

/** Purpose, in a memory map, of what a guest lies in while it runs. */
export const GUEST_IMAGE = 'guest image';
