// SPDX-License-Identifier: GPL-2.0-or-later

/** What a user of a page has chosen, and what cannot be. */

/** There is no such choice: nothing that the user does not see is wrong. */
export class BadChoice extends RangeError {}
