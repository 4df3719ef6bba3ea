// SPDX-License-Identifier: GPL-2.0-or-later

/** Wall time as text, by hand: the firmware has no calendar of its own. */

const MS_PER_DAY = 86_400_000;
const DAYS_PER_ERA = 146_097;
/** Days from 1 March of year 0 to 1 January 1970. */
const EPOCH_DAYS = 719_468;

/**
 * Milliseconds since 1970 as `2026-11-21T10:32:05.123Z`, fractions cut off. Days are counted from 1
 * March in eras of 400 years, so that the leap day comes last (Hinnant, "chrono-Compatible
 * Low-Level Date Algorithms").
 *
 * @param unixMs 0 up to the end of year 9999
 */
export function utcText(unixMs: number): string {
  const ms = Math.floor(unixMs);
  const day = Math.floor(ms / MS_PER_DAY) + EPOCH_DAYS;
  const era = Math.floor(day / DAYS_PER_ERA);
  const dayOfEra = day - era * DAYS_PER_ERA;
  const leaps =
    Math.floor(dayOfEra / 1460) - Math.floor(dayOfEra / 36_524) + Math.floor(dayOfEra / 146_096);
  const yearOfEra = Math.floor((dayOfEra - leaps) / 365);
  const centuries = Math.floor(yearOfEra / 100);
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - centuries);
  const marchMonth = Math.floor((5 * dayOfYear + 2) / 153);
  const dayOfMonth = dayOfYear - Math.floor((153 * marchMonth + 2) / 5) + 1;
  const month = marchMonth < 10 ? marchMonth + 3 : marchMonth - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);

  const time = ms - Math.floor(ms / MS_PER_DAY) * MS_PER_DAY;
  const hours = digits(Math.floor(time / 3_600_000), 2);
  const minutes = digits(Math.floor(time / 60_000) % 60, 2);
  const seconds = digits(Math.floor(time / 1000) % 60, 2);
  const date = `${digits(year, 4)}-${digits(month, 2)}-${digits(dayOfMonth, 2)}`;
  return `${date}T${hours}:${minutes}:${seconds}.${digits(time % 1000, 3)}Z`;
}

function digits(value: number, count: number): string {
  return value.toString().padStart(count, '0');
}
