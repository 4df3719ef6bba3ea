// SPDX-License-Identifier: GPL-2.0-or-later

/** Devices that cannot be told of a close, or do not answer on the way out. */

import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { HvCall, PostMessage } from '../../../src/hyperv/protocol.ts';
import { MessageType } from '../../../src/vmbus/protocol.ts';
import { Rig, fails } from '../../rigs/driver-rig.ts';
import { passOn } from '../../../tools/simulator/base/passing-machine.ts';

const OUT_OF_BUFFERS = 0x13n;

/** Types of RNDIS answers. */
const INITIALISED = 0x80000002;
const FILTER_SET = 0x80000005;

/** A rig whose host takes no CLOSE_CHANNEL while `refusing`. */
function stubborn(host: string): { rig: Rig; refusing: { on: boolean } } {
  const refusing = { on: false };
  const rig = new Rig({
    host,
    wrap: (processor) => {
      const machine = passOn(processor);
      if (machine.architecture !== 'x64') throw new Error('x64 alone');
      const call = machine.callHypercallPage.bind(machine);
      machine.callHypercallPage = (page, control, input, output) => {
        const view = new DataView(processor.memory, Number(input) + PostMessage.at.data);
        const posts = Number(control & 0xffffn) === HvCall.POST_MESSAGE;
        if (posts && refusing.on && view.getUint32(0, true) === MessageType.CLOSE_CHANNEL)
          return OUT_OF_BUFFERS;
        return call(page, control, input, output);
      };
      return machine;
    },
  });
  return { rig, refusing };
}

const closes = suite('closes that are not told');

for (const host of ['qemu', 'server2016', 'server2022', 'openvmm'])
  closes(`${host}: buffers of a channel that could not be closed stay the host’s`, () => {
    const { rig, refusing } = stubborn(host);
    rig.open();
    rig.mark();
    refusing.on = true;
    rig.device.close();

    // QEMU confirms any teardown, and its devices go on with what they have mapped
    assert.equal(rig.posted(MessageType.GPADL_TEARDOWN).length, 0);
    const kept = rig.outstanding();
    assert.ok(kept.includes('ring') && kept.includes('rx-buffer'), kept.join());
    refusing.on = false;
    rig.driver.remove();
    rig.assertClean();
  });

closes('a NIC that is mute once its filter is set costs two waits of 10 s, and not four', () => {
  const rig = new Rig();
  rig.probe();
  let filters = 0;
  rig.nic.faults.message = ({ bytes }) => {
    const type = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
    if (type === INITIALISED) filters = 1;
    const answers = type === INITIALISED || (type === FILTER_SET && filters-- > 0);
    return answers ? 'send' : 'drop';
  };
  rig.mark();
  const ms = rig.elapsed(() => fails('NoAnswer', () => rig.device.open()));
  assert.ok(ms > 19_000 && ms < 21_000, `${ms}`);

  // The filter is cleared all the same, and the device halted
  const types = rig.messages().map(({ view }) => view.getUint32(0, true));
  assert.equal(types, [2, 5, 4, 5, 3, 2, 5, 4, 5, 3]);
});

closes.run();
