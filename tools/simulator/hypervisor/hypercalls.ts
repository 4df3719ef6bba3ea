// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * Hypercalls, whatever the architecture: the control word, where input and output lie, the checks
 * and status codes of TLFS ("Hypercall Interface") as OpenVMM's `hv1_hypercall` has them, and the
 * ports that messages and events go to.
 */

import {
  Cpuid,
  HV_EVENT_FLAGS_COUNT,
  HV_MESSAGE_PAYLOAD_MAX,
  HvCall,
  HvStatus,
  PostMessage,
  SignalEvent,
} from '../../../src/hyperv/protocol.ts';
import type { Architecture } from './architecture.ts';
import { TICKS_PER_MS } from '../base/clock.ts';
import type { VirtualClock } from '../base/clock.ts';
import type { CpuidLeaves } from './cpuid.ts';
import { Privilege } from './cpuid-bits.ts';
import type { HostEvents } from '../ledger/events.ts';
import { hex } from '../base/hex.ts';
import type { GuestRam } from '../base/guest-ram.ts';
import { address, checkBuffer, isFast, isRep, isSimple } from './hypercall-frame.ts';
import type { HypercallFrame } from './hypercall-frame.ts';
import type { HostFaults } from '../ledger/host-faults.ts';
import type { PartitionFaults } from './partition-faults.ts';
import type { EventPort, MessagePort } from './partition-interface.ts';
import { ProcessorCalls } from './processor-calls.ts';
import type { HostKnobs } from '../profiles/profile.ts';
import type { VirtualProcessor } from './virtual-processor.ts';
import { VpRegisterCalls } from './vp-register-calls.ts';
import type { RegisterFile } from './register-file.ts';
import type { Keeper } from '../base/snapshot.ts';

/** A message type with this bit is the hypervisor's own (TLFS, HV_MESSAGE_TYPE). */
const MESSAGE_TYPE_HYPERVISOR = 0x80000000;

/** Bytes of input that a fast call of x64 without XMM registers carries. */
const FAST_INPUT_MAX = 16;

/** HV_CONNECTION_ID has 24 bits. */
const CONNECTION_MASK = 0xffffff;

/** What QEMU takes for a message of VMBus: SynIC type, types 1 to 17, and the header. */
const VMBUS_MESSAGE_TYPE = 1;
const VMBUS_MESSAGE_MIN = 1;
const VMBUS_MESSAGE_MAX = 17;
const VMBUS_HEADER = 8;

/** Names for the log. */
const NAMES = new Map<number, string>([
  [HvCall.FLUSH_VIRTUAL_ADDRESS_SPACE, 'HvFlushVirtualAddressSpace'],
  [HvCall.FLUSH_VIRTUAL_ADDRESS_LIST, 'HvFlushVirtualAddressList'],
  [HvCall.NOTIFY_LONG_SPIN_WAIT, 'HvNotifyLongSpinWait'],
  [HvCall.SEND_IPI, 'HvSendSyntheticClusterIpi'],
  [HvCall.FLUSH_VIRTUAL_ADDRESS_SPACE_EX, 'HvFlushVirtualAddressSpaceEx'],
  [HvCall.FLUSH_VIRTUAL_ADDRESS_LIST_EX, 'HvFlushVirtualAddressListEx'],
  [HvCall.SEND_IPI_EX, 'HvSendSyntheticClusterIpiEx'],
  [HvCall.START_VP, 'HvStartVirtualProcessor'],
  [HvCall.POST_MESSAGE, 'HvPostMessage'],
  [HvCall.SIGNAL_EVENT, 'HvSignalEvent'],
  [HvCall.GET_VP_REGISTERS, 'HvGetVpRegisters'],
  [HvCall.SET_VP_REGISTERS, 'HvSetVpRegisters'],
]);

/** What the calls work on. */
export interface HypercallContext {
  readonly architecture: Architecture;
  readonly ram: GuestRam;
  readonly clock: VirtualClock;
  readonly events: HostEvents;
  readonly knobs: HostKnobs;
  readonly faults: PartitionFaults;
  readonly hostFaults: HostFaults;
  readonly registers: RegisterFile;
  readonly processors: readonly VirtualProcessor[];
  readonly cpuid: CpuidLeaves;
}

export class Hypercalls {
  /** Calls since the partition was made. */
  total = 0;
  readonly #context: HypercallContext;
  /** CPUID 0x40000003 EBX. */
  readonly #privileges: number;
  /** Checks as QEMU has them. */
  readonly #lenient: boolean;
  readonly #registerCalls: VpRegisterCalls;
  readonly #processorCalls: ProcessorCalls;
  readonly #ports = new Map<number, MessagePort>();
  readonly #eventPorts = new Map<number, EventPort>();
  /** Input of the call that runs: copied once, then checked and used. */
  readonly #input = new Uint8Array(PostMessage.size);
  readonly #view = new DataView(this.#input.buffer);
  #inputLength = 0;
  /** Calls so far of each code, for the fault hook. */
  readonly #counts = new Map<number, number>();
  /** Messages taken in the current millisecond. */
  #window = -1;
  #taken = 0;

  constructor(context: HypercallContext) {
    this.#context = context;
    this.#privileges = context.cpuid.read(Cpuid.HV_FEATURES, 0).ebx;
    this.#lenient = context.knobs.hypercallChecks === 'vmm';
    this.#registerCalls = new VpRegisterCalls(context);
    this.#processorCalls = new ProcessorCalls(context);
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.total, this.#inputLength], (v) => ([this.total, this.#inputLength] = v));
    keeper.put([this.#window, this.#taken], (v) => ([this.#window, this.#taken] = v));
    keeper.keep(this.#context, this.#registerCalls, this.#processorCalls, this.#ports);
    keeper.keep(this.#eventPorts, this.#input, this.#view, this.#counts);
  }

  registerMessagePort(connectionId: number, port: MessagePort): void {
    this.#free(connectionId);
    this.#ports.set(connectionId, port);
  }

  registerEventPort(connectionId: number, port: EventPort): void {
    this.#free(connectionId);
    this.#eventPorts.set(connectionId, port);
  }

  unregisterPort(connectionId: number): void {
    this.#ports.delete(connectionId);
    this.#eventPorts.delete(connectionId);
  }

  /** Carry a call out. Returns the status; `frame.repsDone` is set for rep calls. */
  call(vp: VirtualProcessor, frame: HypercallFrame): number {
    const code = frame.controlLow & 0xffff;
    this.total++;
    this.#inputLength = 0;
    frame.repsDone = 0;
    const { events } = this.#context;
    const act = events.on && code === HvCall.POST_MESSAGE ? events.begin() : undefined;
    try {
      const status = this.#dispatch(vp, code, frame);
      if (events.on) {
        const name = NAMES.get(code) ?? `hypercall ${hex(code)}`;
        const input = this.#input.slice(0, this.#inputLength);
        events.emit({ kind: 'hypercall', code, name, input, status, ...act });
      }
      return status;
    } finally {
      // Also of a call in which the guest crashes: what comes then is not its doing
      if (events.on) events.end();
    }
  }

  /**
   * HvGetVpRegisters or HvSetVpRegisters of one register, in the processor's own registers (arm64).
   * It is no more than what MSRs are elsewhere, and is counted as little.
   *
   * @param x where the value is, or goes: two words at `at`
   */
  registerAccess(
    vp: VirtualProcessor,
    code: number,
    number: number,
    x: BigUint64Array,
    at: number,
  ): number {
    const injected = this.#fault(code, 0);
    if (injected !== undefined) return injected;
    const calls = this.#registerCalls;
    if (code === HvCall.SET_VP_REGISTERS) return calls.set(vp, number, x[at]!);
    const status = calls.get(vp, number);
    if (status !== HvStatus.SUCCESS) return status;
    x[at] = calls.low;
    x[at + 1] = calls.high;
    return status;
  }

  #dispatch(vp: VirtualProcessor, code: number, frame: HypercallFrame): number {
    switch (code) {
      case HvCall.SIGNAL_EVENT:
        if (!this.#may(Privilege.SIGNAL_EVENTS)) return HvStatus.ACCESS_DENIED;
        if (!isSimple(frame)) return HvStatus.INVALID_HYPERCALL_INPUT;
        return this.#signalEvent(frame);
      case HvCall.POST_MESSAGE:
        if (!this.#may(Privilege.POST_MESSAGES)) return HvStatus.ACCESS_DENIED;
        if (!isSimple(frame)) return HvStatus.INVALID_HYPERCALL_INPUT;
        if (this.#lenient && isFast(frame)) return HvStatus.INVALID_HYPERCALL_CODE;
        return this.#postMessage(vp, frame);
      case HvCall.GET_VP_REGISTERS:
      case HvCall.SET_VP_REGISTERS:
        if (!this.#mayAccessRegisters()) return HvStatus.ACCESS_DENIED;
        if (!isRep(frame)) return HvStatus.INVALID_HYPERCALL_INPUT;
        return this.#fault(code, 0) ?? this.#registerCalls.call(vp, code, frame);
      default:
        return this.#processorCalls.call(code, frame) ?? this.#unknown(code);
    }
  }

  #unknown(code: number): number {
    const { events } = this.#context;
    if (events.on) events.emit({ kind: 'unmodelled', what: `hypercall ${hex(code)}` });
    return HvStatus.INVALID_HYPERCALL_CODE;
  }

  /** HvPostMessage: slow only, since its input does not fit into registers. */
  #postMessage(vp: VirtualProcessor, frame: HypercallFrame): number {
    const failure = this.#fetch(frame, PostMessage.size);
    if (failure !== HvStatus.SUCCESS) return failure;
    const view = this.#view;
    const connection = view.getUint32(PostMessage.at.connectionId, true);
    const connectionId = this.#lenient ? connection & CONNECTION_MASK : connection;
    const type = view.getUint32(PostMessage.at.type, true);
    const length = view.getUint32(PostMessage.at.length, true);
    this.#inputLength = PostMessage.at.data + Math.min(length, HV_MESSAGE_PAYLOAD_MAX);

    // The message itself
    if (this.#lenient) return this.#forward(vp, connectionId, type, length);
    if (view.getUint32(PostMessage.at.reserved, true) !== 0) {
      return HvStatus.INVALID_HYPERCALL_INPUT;
    }
    if (length > HV_MESSAGE_PAYLOAD_MAX) return HvStatus.INVALID_PARAMETER;
    if (type === 0 || type >= MESSAGE_TYPE_HYPERVISOR) return HvStatus.INVALID_PARAMETER;

    // Where it goes; an event port takes no messages
    const injected = this.#fault(HvCall.POST_MESSAGE, connectionId);
    if (injected !== undefined) return this.#refused(injected);
    return this.#deliver(vp, connectionId, type);
  }

  /** What QEMU looks at: length, connection, and what its VMBus makes of the message. */
  #forward(vp: VirtualProcessor, connectionId: number, type: number, length: number): number {
    if (length > HV_MESSAGE_PAYLOAD_MAX) return HvStatus.INVALID_HYPERCALL_INPUT;
    const injected = this.#fault(HvCall.POST_MESSAGE, connectionId);
    if (injected !== undefined) return this.#refused(injected);
    if (!this.#ports.has(connectionId)) return HvStatus.INVALID_CONNECTION_ID;
    const message = this.#view.getUint32(PostMessage.at.data, true);
    const known = message >= VMBUS_MESSAGE_MIN && message <= VMBUS_MESSAGE_MAX;
    if (type !== VMBUS_MESSAGE_TYPE || length < VMBUS_HEADER || !known) {
      return HvStatus.INVALID_HYPERCALL_INPUT;
    }
    return this.#deliver(vp, connectionId, type);
  }

  #deliver(vp: VirtualProcessor, connectionId: number, type: number): number {
    const port = this.#ports.get(connectionId);
    if (port === undefined) return HvStatus.INVALID_CONNECTION_ID;
    if (this.#throttled()) return this.#refused(this.#context.knobs.throttleStatus);
    this.#context.hostFaults.taken();
    return port(type, this.#input.subarray(PostMessage.at.data, this.#inputLength), vp.index);
  }

  /** The host does not take a message, through no fault of the guest. */
  #refused(status: number): number {
    const message = this.#view.getUint32(PostMessage.at.data, true);
    this.#context.hostFaults.refused(message, status);
    return status;
  }

  /** HvSignalEvent: fast or slow. Makes no object. */
  #signalEvent(frame: HypercallFrame): number {
    const failure = this.#fetch(frame, SignalEvent.size);
    if (failure !== HvStatus.SUCCESS) return failure;
    this.#inputLength = SignalEvent.size;
    const view = this.#view;
    const connectionId = view.getUint32(SignalEvent.at.connectionId, true);
    const flag = view.getUint16(SignalEvent.at.flag, true);
    if (this.#lenient && flag !== 0) return HvStatus.INVALID_PORT_ID;
    if (this.#lenient && connectionId > CONNECTION_MASK) return HvStatus.INVALID_HYPERCALL_INPUT;
    if (view.getUint16(SignalEvent.at.reserved, true) !== 0) {
      return HvStatus.INVALID_HYPERCALL_INPUT;
    }
    if (flag >= HV_EVENT_FLAGS_COUNT) return HvStatus.INVALID_PORT_ID;
    const injected = this.#fault(HvCall.SIGNAL_EVENT, connectionId);
    if (injected !== undefined) {
      this.#context.hostFaults.signalRefused();
      return injected;
    }
    const port = this.#eventPorts.get(connectionId);
    if (port === undefined) return HvStatus.INVALID_CONNECTION_ID;
    return port(flag);
  }

  /** Copy the input out of registers or guest memory. Returns the status of its checks. */
  #fetch(frame: HypercallFrame, length: number): number {
    if (isFast(frame)) {
      if (length > FAST_INPUT_MAX) return HvStatus.INVALID_HYPERCALL_INPUT;
      this.#view.setUint32(0, frame.inputLow, true);
      this.#view.setUint32(4, frame.inputHigh, true);
      return HvStatus.SUCCESS;
    }
    const { ram } = this.#context;
    const at = address(frame.inputLow, frame.inputHigh);
    if (this.#lenient) return this.#fetchAnywhere(frame.inputLow, at, length);
    const failure = checkBuffer(ram, frame.inputLow, at, length);
    if (failure !== HvStatus.SUCCESS) return failure;
    if (length === SignalEvent.size) {
      this.#view.setUint32(0, ram.reader.getUint32(at, true), true);
      this.#view.setUint32(4, ram.reader.getUint32(at + 4, true), true);
    } else {
      ram.read(at, this.#input, 0, length);
    }
    return HvStatus.SUCCESS;
  }

  /** Input as QEMU reads it: across pages, aligned to 4 (a message), zeros where no RAM is. */
  #fetchAnywhere(low: number, at: number, length: number): number {
    const { ram } = this.#context;
    const alignment = length === SignalEvent.size ? 8 : 4;
    if (low % alignment !== 0) return HvStatus.INVALID_ALIGNMENT;
    this.#input.fill(0, 0, length);
    if (ram.has(at, length)) ram.read(at, this.#input, 0, length);
    // A message that begins in RAM cannot be mapped as a whole
    else if (length === PostMessage.size && ram.has(at, 1)) return HvStatus.INSUFFICIENT_MEMORY;
    return HvStatus.SUCCESS;
  }

  /** Whether the host refuses the message because there were too many in this millisecond. */
  #throttled(): boolean {
    const { knobs, clock } = this.#context;
    if (knobs.throttleMessages === 0) return false;
    const window = Math.floor(clock.now / TICKS_PER_MS);
    if (window !== this.#window) {
      this.#window = window;
      this.#taken = 0;
    }
    if (this.#taken >= knobs.throttleMessages) return true;
    this.#taken++;
    return false;
  }

  /** Ask the hook of {@link PartitionFaults} for a status to fail with. */
  #fault(code: number, connectionId: number): number | undefined {
    const { faults, events } = this.#context;
    const index = this.#counts.get(code) ?? 0;
    this.#counts.set(code, index + 1);
    if (faults.hypercall === undefined) return undefined;
    const status = faults.hypercall(code, connectionId, index);
    if (status !== undefined && events.on) {
      const call = `${NAMES.get(code)} ${index} on connection ${connectionId}`;
      events.emit({ kind: 'fault', text: `${call} fails: ${hex(status)}` });
    }
    return status;
  }

  #may(privilege: number): boolean {
    return (this.#privileges & privilege) !== 0;
  }

  /** On arm64 there is no other way to the registers, and no privilege for it. */
  #mayAccessRegisters(): boolean {
    return this.#context.architecture === 'arm64' || this.#may(Privilege.VP_REGISTERS);
  }

  #free(connectionId: number): void {
    if (this.#ports.has(connectionId) || this.#eventPorts.has(connectionId)) {
      throw new Error(`connection ${connectionId} is taken`);
    }
  }
}
