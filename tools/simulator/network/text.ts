// SPDX-License-Identifier: GPL-2.0-or-later

/** Text on the wire, as UTF-8. Without TextEncoder, which QuickJS does not have. */

/** UTF-8 of a text. A lone surrogate becomes U+FFFD. */
export function encodeText(text: string): Uint8Array {
  const escaped = encodeURIComponent(text.replace(LONE_SURROGATE, '\ufffd'));
  const bytes: number[] = [];
  for (let i = 0; i < escaped.length; i++) {
    if (escaped[i] === '%') {
      bytes.push(parseInt(escaped.slice(i + 1, i + 3), 16));
      i += 2;
    } else bytes.push(escaped.charCodeAt(i));
  }
  return Uint8Array.from(bytes);
}

/** Text of UTF-8; undefined if it is not UTF-8. */
export function decodeText(bytes: Uint8Array, from: number, to: number): string | undefined {
  let escaped = '';
  for (let i = from; i < to; i++) escaped += '%' + bytes[i]!.toString(16).padStart(2, '0');
  try {
    return decodeURIComponent(escaped);
  } catch (error) {
    // No room on the stack, for one, says nothing about the text
    if (!(error instanceof URIError)) throw error;
    return undefined;
  }
}

const LONE_SURROGATE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
