// SPDX-License-Identifier: GPL-2.0-or-later

/** What the TFTP server serves: files of memory, and an image that can be made again anywhere. */

/**
 * A source of files. Paths are relative, with `/`, without `.` and `..` (see {@link plainPath}).
 * A file is read once for each transfer and must not change while the transfer lasts.
 */
export interface FileSource {
  /** The bytes of a file; undefined if there is none; or why it cannot be read. */
  read(path: string): Uint8Array | undefined | { readonly error: string };
  /** Paths of the files that there are, for people. */
  list?(): readonly string[];
}

/**
 * A path as clients write it (leading or double slashes, backslashes, `.`) in its plain form.
 * Undefined if it has a `..`: nobody leaves the root.
 */
export function plainPath(path: string): string | undefined {
  const parts = path.split(/[/\\]+/).filter((part) => part !== '' && part !== '.');
  return parts.includes('..') ? undefined : parts.join('/');
}

/** Files that lie in memory. The bytes are not copied. */
export function memoryFiles(files: Readonly<Record<string, Uint8Array>>): FileSource {
  const byPath = new Map<string, Uint8Array>();
  for (const [name, bytes] of Object.entries(files)) byPath.set(plainPath(name) ?? name, bytes);
  return {
    read: (path) => byPath.get(path),
    list: () => [...byPath.keys()],
  };
}

/**
 * An image that looks random and can be made again, whole or in part: the 32-bit little-endian word
 * at offset 4 n is fmix32(n + seed × 0x9e3779b9 mod 2^32), with the finaliser of MurmurHash3
 * (public domain, Austin Appleby); the last word is cut off where the image ends. No two words of
 * an image below 16 GiB are the same, so each misplaced block shows.
 *
 * @param length bytes
 * @param seed any integer; its low 32 bits count
 */
export function syntheticImage(length: number, seed: number): Uint8Array {
  const words = new DataView(new ArrayBuffer((length + 3) & ~3));
  const start = Math.imul(seed, 0x9e3779b9);
  for (let at = 0, n = start; at < words.byteLength; at += 4, n++) {
    words.setUint32(at, fmix32(n), true);
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** The finaliser of MurmurHash3: a bijection of 32-bit words. */
function fmix32(n: number): number {
  n = Math.imul(n ^ (n >>> 16), 0x85ebca6b);
  n = Math.imul(n ^ (n >>> 13), 0xc2b2ae35);
  return n ^ (n >>> 16);
}
