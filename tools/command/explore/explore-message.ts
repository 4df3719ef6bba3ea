// SPDX-License-Identifier: GPL-2.0-or-later

/** What the worker of an exploration says, checked field by field: from a guest's process. */

import type { ExploreMessage } from './explore-job.ts';
import type { FindingKind } from '../../explore/explored-guest.ts';
import { workerFailed } from '../boot/boot-message.ts';
import { count, flag, list, oneOf, optional, record, table, text, type Shape } from '../shape.ts';

const kind = oneOf<FindingKind>('finding', 'crash', 'hang');

const tally = record({
  runs: count,
  outcomes: table(count),
  unreached: count,
  groups: list(
    record({
      ...{ kind, cause: text, runs: count },
      reproduction: text,
      faults: count,
      run: count,
      text,
    }),
  ),
});

const places = record({
  boot: table(count),
  loader: table(count),
  push: table(count),
}) as Shape<Extract<ExploreMessage, { kind: 'ready' }>['places']>;

const MESSAGES: {
  readonly [K in ExploreMessage['kind']]: Shape<Extract<ExploreMessage, { kind: K }>>;
} = {
  ready: record({
    ...{ kind: oneOf('ready'), total: count, singles: count, places },
    ...{ fingerprint: text, firmware: text },
  }),
  progress: record({ kind: oneOf('progress'), next: count, tally }),
  done: record({ kind: oneOf('done'), next: count, tally }),
  outcome: record({
    kind: oneOf('outcome'),
    session: optional(list(text)),
    ...{ traceFailure: optional(text), captureFailure: optional(text) },
    outcome: sparseRefused(
      record({
        findings: list(record({ kind, cause: text, text })),
        fired: count,
        status: oneOf('booted', 'failed', 'ended'),
        error: optional(text),
        refused: optional(flag),
        steps: count,
      }),
    ),
  }),
  line: record({ kind: oneOf('line'), text }),
  failed: workerFailed,
};

/** A message of the worker. @throws ShapeError */
export const exploreMessage: Shape<ExploreMessage> = (value, where) => {
  const words = Object.keys(MESSAGES) as ExploreMessage['kind'][];
  const { kind: which } = record({ kind: oneOf(...words) })(value, where);
  return MESSAGES[which](value, where);
};

/** An outcome says that the host was refused only if it was. */
function sparseRefused(
  shape: Shape<object>,
): Shape<Extract<ExploreMessage, { kind: 'outcome' }>['outcome']> {
  return (value, where) => {
    const { refused, ...outcome } = shape(value, where) as { refused?: boolean };
    return { ...outcome, ...(refused === true ? { refused } : {}) } as Extract<
      ExploreMessage,
      { kind: 'outcome' }
    >['outcome'];
  };
}
