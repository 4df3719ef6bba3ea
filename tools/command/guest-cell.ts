// SPDX-License-Identifier: GPL-2.0-or-later

/** The process that a guest runs in, with the real link that it may have. */

import { MessageChannel } from 'node:worker_threads';
import { runCell } from '../guests/cell/cell-process.ts';
import { startLink, type LinkRequest } from '../links/link-start.ts';

runCell(async (request) => {
  const link = await startLink(request as LinkRequest);
  const bell = new MessageChannel();
  bell.port1.on('message', () => link.drain());
  return {
    data: { ends: link.ends, bell: bell.port2 },
    transfer: [bell.port2],
    async close() {
      bell.port1.close();
      await link.close();
      const { name = '', message: text = '', advice = '' } = link.failure ?? {};
      return { ...link.counts, failure: link.failure && { name, text, advice } };
    },
  };
});
