// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What refuses each mutant that the replay alone refuses, as `replayed.ts` has found it: a golden
 * session, a plan of a recorded run of the firmware as it is, or a session of `made-sessions.ts`.
 * Why not the others is in `not-replayed.ts`.
 */

/** By list and name of the mutant: the session, or the plan. */
export const REPLAYED: ReadonlyMap<string, string> = new Map([
  ['MUTANTS: no UNLOAD at the end', '01-boot'],
  ['MUTANTS: a bus that fails does not disconnect', '09g-open-refused'],
  ['MUTANTS: the SINT stays unmasked', '01-boot'],
  ['MUTANTS: the event page stays mapped', '01-boot'],
  ['MUTANTS: the message page stays mapped, and is freed', '01-boot'],
  ['MUTANTS: the guest keeps its identity', '01-boot'],
  ['MUTANTS: hypervisor left mapped when the bus fails', '09g-open-refused'],
  ['MUTANTS: the receive buffer is freed without asking the host', '01-boot'],
  ['MUTANTS: shared memory is freed at once', '04-quiesce-unquiesce'],
  ['MUTANTS: an unanswered GPADL teardown counts as done', '11-teardown-unanswered'],
  ['MUTANTS: a GPADL_TORNDOWN of any GPADL will do', 'message.15/field:gpadl=inc'],
  ['MUTANTS: an unanswered UNLOAD counts as answered', '01-boot'],
  ['MUTANTS: an UNLOAD that could not be posted counts as answered', '09-no-version-response'],
  ['MUTANTS: a contact that nobody has answered is not ended', '09-no-version-response'],
  ['MUTANTS: a reset forgets the live connection', 'loader:step.162/give-up'],
  [
    'MUTANTS: a GPADL whose bodies could not be posted is forgotten',
    'loader:call.6/status-ever:18',
  ],
  ['MUTANTS: rings are freed before the channel is closed', '01-boot'],
  ['MUTANTS: the SynIC is unmapped before UNLOAD', '01-boot'],
  ['MUTANTS: messages are waited for without a time limit', '02-host-2.4-only'],
  ['MUTANTS: messages are posted again for ever', 'loader:call.6/status-ever:18'],
  ['MUTANTS: NVSP requests are waited for without a time limit', '09c-no-nvsp-init'],
  [
    'MUTANTS: RNDIS requests are waited for without a time limit',
    'packet.19/field:descriptor.transactionId=inc',
  ],
  ['MUTANTS: ranges are not checked against the receive buffer', '12g-range-out-of-bounds'],
  ['MUTANTS: the count of ranges is believed', 'packet.31/field:pages.rangeCount=top'],
  ['MUTANTS: packets longer than the buffer are taken', '12c-overlength-packet'],
  ['MUTANTS: an allocation that fails goes on', '21a-alloc-fail-hypercall'],
  ['MUTANTS: a refused GPADL is an error without a name', 'message.8/field:status=top'],
  ['MUTANTS: a cancelled boot is cancelled again while it cleans up', 'step.34/handoff'],
  ['OMISSION_MUTANTS: no UNLOAD between the contact with 3.0 and the one that stays', '01-boot'],
  ['OMISSION_MUTANTS: the packet filter is not cleared', '01-boot'],
  ['OMISSION_MUTANTS: no RNDIS HALT', '01-boot'],
  ['OMISSION_MUTANTS: the receive buffer is not revoked', '01-boot'],
  ['OMISSION_MUTANTS: the channel is not closed', '01-boot'],
  ['OMISSION_MUTANTS: the GPADL of the rings is not torn down', '01-boot'],
  ['OMISSION_MUTANTS: the GPADL of the receive buffer is not torn down', '01-boot'],
  ['OMISSION_MUTANTS: the rings are freed, and their GPADL is left to UNLOAD', '01-boot'],
  ['OMISSION_MUTANTS: the receive buffer is freed, and its GPADL is left to UNLOAD', '01-boot'],
  ['OMISSION_MUTANTS: the pages of the connection are freed before UNLOAD is answered', '01-boot'],
  [
    'OMISSION_MUTANTS: the pages of the connection stay reserved though UNLOAD was answered',
    '01-boot',
  ],
  ['OMISSION_MUTANTS: no UNLOAD at the end', '01-boot'],
  ['OMISSION_MUTANTS: the answer to UNLOAD is not waited for', '01-boot'],
  ['OMISSION_MUTANTS: the SINT is not masked', '01-boot'],
  ['OMISSION_MUTANTS: the guest keeps its identity', '01-boot'],
  ['OMISSION_MUTANTS: SIMP stays mapped', '01-boot'],
  ['OMISSION_MUTANTS: SIEFP stays mapped', '01-boot'],
  ['OMISSION_MUTANTS: the hypercall page stays mapped', '01-boot'],
  ['OMISSION_MUTANTS: a received packet is never completed', '01-boot'],
  [
    'SILENT_OMISSIONS: message page and event page of an earlier owner are not reset first',
    'loader:step.162/give-up',
  ],
  ['SILENT_OMISSIONS: SCONTROL is not switched off again where it was off', '01-boot'],
  [
    'SILENT_OMISSIONS: no UNLOAD between the contacts, where the host takes no second one',
    '01-boot',
  ],
  [
    'SILENT_OMISSIONS: the version of the old connection is kept until the new one',
    'loader:step.162/give-up',
  ],
  ['SILENT_OMISSIONS: a connection that is unloaded is still to be unloaded', '02-host-2.4-only'],
  ['SILENT_OMISSIONS: the pages of the connection are not given back', '01-boot'],
  ['SILENT_OMISSIONS: a GPADL that was torn down stays in the ledger', '05b-rescind-in-offers'],
  [
    'SILENT_OMISSIONS: a GPADL of which nothing was sent stays in the ledger',
    '08d-post-fail-gpadl-rxbuf',
  ],
  [
    'SILENT_OMISSIONS: GPADLs of a connection that is over stay in the ledger',
    '04-quiesce-unquiesce',
  ],
  ['SILENT_OMISSIONS: completions are not waited for before the close', 'loader:none'],
  [
    'SILENT_OMISSIONS: packets in flight are not cancelled',
    'packet.19/field:descriptor.transactionId=inc',
  ],
  [
    'SILENT_OMISSIONS: in-band packets are not completed',
    'loader:packet.21/field:descriptor.type=0',
  ],
  ['SILENT_OMISSIONS: the pages of the registers are not given back', '01-boot'],
  ['SILENT_OMISSIONS: the receive buffer is not given back', '01-boot'],
  [
    'SILENT_OMISSIONS: the rings of a device that lost its connection are not given back',
    '04-quiesce-unquiesce',
  ],
  [
    'SILENT_OMISSIONS: messages of an earlier owner are not taken before the contact',
    'owner.0/left:all',
  ],
  [
    'SILENT_OMISSIONS: a device that was taken away is not let go of by its driver',
    'step.150/rescind',
  ],
  [
    'SILENT_OMISSIONS: a device that was taken away is not released: it cannot come back',
    'step.150/rescind',
  ],
  [
    'SILENT_OMISSIONS: a device that was taken away is not forgotten: the next offer is ignored',
    'step.150/rescind',
  ],
  [
    'MUTANTS: quiesced drivers are removed without taking the machine back',
    'removed while quiesced',
  ],
  ['MUTANTS: the memory map forgets what could not be revoked', 'loader:call.6/status-ever:18'],
  ['RACE_MUTANTS: a received packet is completed before it is copied out', '01-boot'],
  ['RACE_MUTANTS: the host is signalled before the index is published', '17-zero-latency'],
  [
    'SILENT_OMISSIONS: a late GPADL_TORNDOWN is not looked at',
    'a late GPADL_TORNDOWN, and no answer to UNLOAD',
  ],
  ['SILENT_OMISSIONS: what packets point to is not given back with the rings', 'step.150/rescind'],
  ['SILENT_OMISSIONS: the transmit buffers are not given back', '01-boot'],
  ['SILENT_OMISSIONS: transmits are not ended with the channel', '01-boot'],
  [
    'TESTED_MUTANTS: the queue of completions is shifted by half',
    'more completions than the ring has room for',
  ],
  [
    'TESTED_MUTANTS: pages are revoked though an older contact is out',
    'a contact that is refused while another is out',
  ],
  [
    'TESTED_MUTANTS: pages are revoked though the connection of before a reset lives',
    'a contact that is refused behind a lost connection',
  ],
  [
    'TESTED_MUTANTS: pages are revoked behind the answer to an UNLOAD that was not ours',
    'a contact that is refused while another is out',
  ],
  ['MUTANTS: removing the drivers can be cancelled', '01-boot'],
]);
