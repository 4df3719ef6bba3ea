// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * The negotiation of a utility service: the host lists the framework and message versions that it
 * knows, the guest answers with one of each, or with none (Linux vmbus_prep_negotiate_resp).
 */

import { IcNegotiate, IcVersion } from './protocol.ts';

/** Framework versions, in order of preference (Linux fw_versions: UTIL_FW, UTIL_WS2K8_FW). */
const FRAMEWORK_VERSIONS: readonly number[] = [0x00030000, 0x00010000];

/** Most versions of a list (Linux IC_VERSION_NEGOTIATION_MAX_VER_COUNT). */
const VERSIONS_MAX = 100;

/** Length of an answer with one version of each kind. */
const ANSWER_LENGTH = IcNegotiate.size + 2 * IcVersion.size;

/** What was agreed on: major in the high, minor in the low 16 bits. */
export interface Agreement {
  readonly framework: number;
  readonly message: number;
}

/** The answer to a negotiation, which was written over it. */
export interface NegotiationAnswer {
  /** Undefined if nothing matches, or if the lists are no lists: the answer is 0/0. */
  readonly agreement: Agreement | undefined;
  /** Why there is none, or ''. */
  readonly reason: string;
  /** Length of the answer's body. */
  readonly length: number;
}

/** A version as `major.minor`. */
export function icVersionText(version: number): string {
  return `${version >>> 16}.${version & 0xffff}`;
}

/**
 * Choose, and write the answer over the lists.
 *
 * @param body where the body begins
 * @param length bytes of the body as its header says: at least those of the counts
 * @param room bytes that may be written
 * @param messages message versions of the service, in order of preference
 */
export function negotiate(
  view: DataView,
  body: number,
  length: number,
  room: number,
  messages: readonly number[],
): NegotiationAnswer {
  const frameworkCount = view.getUint16(body + IcNegotiate.at.frameworkCount, true);
  const messageCount = view.getUint16(body + IcNegotiate.at.messageCount, true);
  const lists = body + IcNegotiate.at.versions;
  const needed = IcNegotiate.size + (frameworkCount + messageCount) * IcVersion.size;

  // Look for our versions in the host's lists, best first
  let reason = '';
  let agreement: Agreement | undefined;
  if (frameworkCount > VERSIONS_MAX || messageCount > VERSIONS_MAX) {
    reason = `${frameworkCount} and ${messageCount} versions, at most ${VERSIONS_MAX} each`;
  } else if (needed > length || ANSWER_LENGTH > room) {
    reason = `${frameworkCount} and ${messageCount} versions in ${length} bytes`;
  } else {
    const framework = choose(view, lists, frameworkCount, FRAMEWORK_VERSIONS);
    const second = lists + frameworkCount * IcVersion.size;
    const message = choose(view, second, messageCount, messages);
    if (framework === undefined) reason = 'no framework version in common';
    else if (message === undefined) reason = 'no message version in common';
    else agreement = { framework, message };
  }

  // Answer with one version of each kind, or with none
  const count = agreement === undefined ? 0 : 1;
  view.setUint16(body + IcNegotiate.at.frameworkCount, count, true);
  view.setUint16(body + IcNegotiate.at.messageCount, count, true);
  if (ANSWER_LENGTH > room) return { agreement, reason, length: IcNegotiate.size };
  putVersion(view, lists, agreement?.framework ?? 0);
  putVersion(view, lists + IcVersion.size, agreement?.message ?? 0);
  return { agreement, reason, length: ANSWER_LENGTH };
}

/** The first of `ours` that is in the list of `count` versions at `at`. */
function choose(
  view: DataView,
  at: number,
  count: number,
  ours: readonly number[],
): number | undefined {
  return ours.find((version) => {
    for (let i = 0; i < count; i++) {
      const entry = at + i * IcVersion.size;
      const major = view.getUint16(entry + IcVersion.at.major, true);
      const minor = view.getUint16(entry + IcVersion.at.minor, true);
      if (major === version >>> 16 && minor === (version & 0xffff)) return true;
    }
    return false;
  });
}

function putVersion(view: DataView, at: number, version: number): void {
  view.setUint16(at + IcVersion.at.major, version >>> 16, true);
  view.setUint16(at + IcVersion.at.minor, version & 0xffff, true);
}
