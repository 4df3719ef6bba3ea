// SPDX-License-Identifier: GPL-2.0-or-later

/** The replay: recorded sessions, how they are decoded, compared and reported. */

export {
  decodeMessage,
  decodeNvsp,
  decodePacket,
  decodePost,
  decodeRndis,
  decodeSignal,
  describeLayers,
  msrName,
  type DecodedField,
  type DecodedLayer,
} from './decode.ts';
export type { Difference, FieldDifference, KindCount } from './compare.ts';
export { DIFFERENCES, type DeliberateDifference, type Handling } from './differences/index.ts';
export { asFirmware, type Firmware } from './firmware.ts';
export type { Failure } from './judge.ts';
export { replayTrace, type MetDifference, type ReplayResult } from './replay.ts';
export { reportJson, reportText, verdict, type ReportOptions } from './report.ts';
export { parseTrace, type TraceFile } from './trace-file.ts';
