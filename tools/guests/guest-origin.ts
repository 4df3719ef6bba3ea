// SPDX-License-Identifier: GPL-2.0-or-later

/** Beginning of the names that a JavaScript guest's modules have in stacks. */
export const ORIGIN = 'guest:';
