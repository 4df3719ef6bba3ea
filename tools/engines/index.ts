// SPDX-License-Identifier: GPL-2.0-or-later

/** What an engine needs besides the two bundles. Runs wherever JavaScript runs. */

export { provideAtomics } from './atomics.ts';
export { bootDigest, type BootDigest } from './boot-digest.ts';
