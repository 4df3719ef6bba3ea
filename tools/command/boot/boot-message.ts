// SPDX-License-Identifier: GPL-2.0-or-later

/** What the worker of a boot says, checked field by field: it comes from a guest's process. */

import {
  AUDIT_CHECKS,
  type AuditCheck,
  type Finding,
} from '../../simulator/audit/audit-findings.ts';
import {
  count,
  flag,
  list,
  number,
  oneOf,
  optional,
  record,
  sparse,
  text,
  type Shape,
} from '../shape.ts';
import { Exit, type ExitCode } from '../usage.ts';
import type { WorkerFailure } from '../worker-failure.ts';
import type { BootOutcome, OutcomeOs } from '../../library/boot-outcome.ts';
import type { WorkerMessage } from './boot-worker.ts';

const check = oneOf(...(Object.keys(AUDIT_CHECKS) as AuditCheck[]));

const finding = sparse(
  record({
    check,
    severity: oneOf('error', 'warning', 'info'),
    text,
    pages: optional(
      record({
        ...{ purpose: text, pages: list(count), length: count },
        ...{ sharedBy: text, sharedAt: number, revokedWith: text, reserved: flag },
      }),
    ),
    vp: optional(count),
    known: optional(oneOf('crash-hole')),
  }),
) as Shape<Finding>;

const error = record({ name: text, text, advice: text });

const range = sparse(
  record({
    ...{ address: count, length: count, type: oneOf('usable', 'reserved') },
    purpose: optional(text),
  }),
) as unknown as Shape<BootOutcome['memoryMap'][number]>;

const os: Shape<OutcomeOs> = record({
  vmbusVersion: optional(text),
  error: optional(text),
  nics: list(
    record({
      ...{ name: text, instance: text, sent: count, received: count },
      error: optional(text),
    }),
  ),
  vp: count,
  processors: list(count),
});

const outcome: Shape<BootOutcome> = record({
  verdict: oneOf('clean', 'findings', 'refused', 'crash', 'hang', 'out-of-memory'),
  served: record({ name: text, length: count, sha256: optional(text) }),
  image: optional(
    record({
      ...{ name: text, address: count, length: count, device: text, sha256: text },
      equal: optional(flag),
    }),
  ),
  pushes: list(
    record({
      ...{ name: text, length: count, reason: text, repeated: count, ms: number, sha256: text },
      outcome: oneOf('copied', 'refused', 'cancelled', 'lost', 'waiting'),
      equal: optional(flag),
    }),
  ),
  error: optional(error),
  attempts: list(record({ device: text, name: text, text, advice: text })),
  ended: optional(
    record({
      guest: text,
      kind: oneOf('crash', 'hang', 'thrown', 'out-of-memory'),
      text,
      stack: optional(text),
    }),
  ),
  vmbusVersions: list(text),
  findings: list(finding),
  notRun: list(check),
  memoryMap: list(range),
  stages: list(
    record({
      name: text,
      end: oneOf('handoff', 'quiesce', 'kexec', 'crash', 'panic', 'power-off', 'shutdown'),
      endedMs: number,
      findings: list(finding),
      os: optional(os),
    }),
  ),
  os: optional(os),
  secondBoot: optional(oneOf('booted', 'failed')),
  counts: optional(
    record({
      ...{ hypercalls: count, registerAccesses: count, pauses: count },
      ...{ framesFromGuest: count, framesToGuest: count, framesDropped: count, violations: count },
    }),
  ),
  link: (value): undefined => void value,
  handoffMs: optional(number),
  endMs: optional(number),
  traceFailure: optional(text),
  captureFailure: optional(text),
  sessionFailure: optional(text),
});

/** What came of a real link. */
export const linkOutcome: Shape<NonNullable<BootOutcome['link']>> = record({
  ...{ framesToGuest: count, framesToPeer: count, framesDropped: count },
  failure: optional(error),
});

const EXIT_CODES = Object.values(Exit) as ExitCode[];

/** A failure of any worker. */
export const workerFailed: Shape<WorkerFailure> = record({
  kind: oneOf('failed'),
  code: optional(oneOf(...EXIT_CODES)),
  ...{ name: text, text, advice: text },
  stack: optional(text),
});

const MESSAGES: Readonly<Record<WorkerMessage['kind'], Shape<WorkerMessage>>> = {
  line: record({ kind: oneOf('line'), text }),
  progress: record({ kind: oneOf('progress'), received: count, total: optional(count) }),
  done: record({ kind: oneOf('done'), outcome }),
  failed: workerFailed,
};

/** A message of the worker. @throws ShapeError */
export const workerMessage: Shape<WorkerMessage> = (value, where) => {
  const { kind } = record({ kind: oneOf('line', 'progress', 'done', 'failed') })(value, where);
  return MESSAGES[kind](value, where);
};
