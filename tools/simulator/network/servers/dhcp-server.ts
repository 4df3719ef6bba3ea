// SPDX-License-Identifier: GPL-2.0-or-later

/** A DHCP server (RFC 2131, 4.3): one pool, leases by MAC address, and a boot file. */

import { DhcpOption, DhcpType, Port } from '../../../../src/net/protocol.ts';
import { TICKS_PER_MS } from '../../base/clock.ts';
import { ipText, isHostOf, macText } from '../address.ts';
import type { NetworkContext } from '../context.ts';
import type { DhcpRequest } from './dhcp-message.ts';
import { DHCP_FLAG_BROADCAST, DhcpReply, parseDhcp } from './dhcp-message.ts';
import type { DhcpPlan } from './dhcp-options.ts';
import { DhcpPool } from './dhcp-pool.ts';
import { IP_BROADCAST, MAC_BROADCAST, UDP } from '../protocol.ts';
import type { Datagram, ServerHost } from '../server-host.ts';
import { encodeText } from '../text.ts';
import type { Keeper } from '../../base/snapshot.ts';

const TICKS_PER_SECOND = 1000 * TICKS_PER_MS;

/** How long an offered address is kept for the client, and a declined one from all. */
const OFFER_HOLD_TICKS = 60 * TICKS_PER_SECOND;
const DECLINE_HOLD_TICKS = 600 * TICKS_PER_SECOND;

/** OFFERs that wait for their delay to pass; more are not answered. */
const DELAYED_OFFERS_MAX = 64;

export class DhcpServer {
  readonly #context: NetworkContext;
  readonly #host: ServerHost;
  /** Who acknowledges: the partner of a failover pair, or the same. */
  readonly #acknowledges: ServerHost;
  readonly #plan: DhcpPlan;
  readonly #pool: DhcpPool;
  #refusals: number;
  #delayed = 0;
  /** Time of the first message, in ticks. */
  #first: number | undefined;

  constructor(context: NetworkContext, host: ServerHost, plan: DhcpPlan, partner = host) {
    this.#context = context;
    this.#host = host;
    this.#acknowledges = partner;
    this.#plan = plan;
    this.#pool = new DhcpPool(plan.poolStart, plan.poolSize);
    this.#refusals = plan.refusals;
    host.bind(Port.DHCP_SERVER, (datagram) => this.#receive(datagram));
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#refusals, this.#delayed], (v) => ([this.#refusals, this.#delayed] = v));
    keeper.put([this.#first], (v) => ([this.#first] = v));
    keeper.keep(this.#context, this.#host, this.#acknowledges, this.#pool);
  }

  #receive(datagram: Datagram): void {
    const request = parseDhcp(datagram);
    // What claims to come from a relay is not for us: ours has passed it on without a word
    if (request === undefined || request.relayAddress !== 0) {
      this.#context.count('bad-dhcp');
      return;
    }
    this.#first ??= this.#context.clock.now;
    // Boot servers are asked in a message of the same type
    if (request.bootItem !== undefined) {
      this.#unanswered(request, 'REQUEST', 'for boot servers');
      return;
    }
    const counters = this.#context.statistics.dhcp;
    switch (request.type) {
      case DhcpType.DISCOVER:
        counters.discovers++;
        if (this.#plan.mode === 'silent') this.#unanswered(request, 'DISCOVER', 'silent mode');
        else this.#discover(request);
        break;
      case DhcpType.REQUEST:
        counters.requests++;
        this.#request(request);
        break;
      case DhcpType.DECLINE:
        counters.declines++;
        if (this.#isForUs(request)) {
          this.#pool.decline(request.client, this.#context.clock.now + DECLINE_HOLD_TICKS);
        }
        break;
      case DhcpType.RELEASE:
        counters.releases++;
        if (this.#isForUs(request)) this.#pool.release(request.client);
        break;
      case DhcpType.INFORM:
        counters.informs++;
        if (this.#plan.mode === 'answer') this.#reply(request, DhcpType.ACK, 0);
        else this.#unanswered(request, 'INFORM', `${this.#plan.mode} mode`);
        break;
      default:
        this.#context.count('bad-dhcp');
    }
  }

  #isForUs(request: DhcpRequest): boolean {
    return request.serverId === (this.#plan.relay ?? this.#host.address);
  }

  /** RFC 2131, 4.3.1. */
  #discover(request: DhcpRequest): void {
    const { now } = this.#context.clock;
    const address = this.#pool.hold(
      request.client,
      request.requestedAddress,
      now,
      now + OFFER_HOLD_TICKS,
    );
    if (address === undefined) {
      this.#unanswered(request, 'DISCOVER', 'no address is free');
    } else if (this.#plan.offerDelayTicks === 0) {
      this.#reply(request, DhcpType.OFFER, address);
    } else if (this.#delayed === DELAYED_OFFERS_MAX) {
      this.#unanswered(request, 'DISCOVER', 'too many OFFERs wait');
    } else {
      this.#delayed++;
      this.#context.clock.schedule(this.#plan.offerDelayTicks, () => {
        this.#delayed--;
        this.#reply(request, DhcpType.OFFER, address);
      });
    }
  }

  /** RFC 2131, 4.3.2: selecting (with a server identifier), rebooting, renewing or rebinding. */
  #request(request: DhcpRequest): void {
    if (request.serverId !== undefined && !this.#isForUs(request)) {
      // The client took another offer
      this.#pool.release(request.client);
      this.#unanswered(request, 'REQUEST', `for ${ipText(request.serverId)}`);
      return;
    }
    if (this.#plan.mode === 'silent' || this.#plan.mode === 'offer-only') {
      this.#unanswered(request, 'REQUEST', `${this.#plan.mode} mode`);
      return;
    }

    // The address must be the one that this client was offered or has
    const wanted = request.requestedAddress ?? request.clientAddress;
    const own = this.#pool.addressOf(request.client);
    const isStranger = own === undefined && request.serverId === undefined;
    if (isStranger && isHostOf(this.#plan.subnet, wanted)) {
      // Perhaps another server knows it
      this.#unanswered(request, 'REQUEST', 'unknown client');
      return;
    }
    const isEarly = this.#context.clock.now < this.#first! + this.#plan.refuseTicks;
    const isRefused = this.#plan.mode === 'nak' || this.#refusals > 0 || isEarly;
    if (this.#refusals > 0) this.#refusals--;
    if (isRefused) this.#context.statistics.dhcp.refusals++;
    if (own === undefined || wanted !== own || isRefused) {
      this.#reply(request, DhcpType.NAK, 0);
      return;
    }
    this.#pool.bind(request.client, this.#leaseEnd());
    this.#reply(request, DhcpType.ACK, own);
  }

  #leaseEnd(): number {
    const { leaseSeconds } = this.#plan;
    if (leaseSeconds === 0xffffffff) return Infinity;
    return this.#context.clock.now + leaseSeconds * TICKS_PER_SECOND;
  }

  #reply(request: DhcpRequest, type: number, address: number): void {
    const frame = this.#host.allocate();
    if (frame === undefined) return;
    const host = type === DhcpType.ACK ? this.#acknowledges : this.#host;
    const { relay, sourcePort } = this.#plan;
    const reply = new DhcpReply(frame.bytes, UDP.end, request);
    if (this.#plan.mode !== 'bootp') {
      reply.option(DhcpOption.MESSAGE_TYPE, [type]);
      reply.numbers(DhcpOption.SERVER_IDENTIFIER, 4, relay ?? host.address);
    }
    if (relay !== undefined) reply.setAddress('giaddr', host.address);
    if (type !== DhcpType.NAK) {
      this.#configuration(reply, request, type, address);
      this.#bootFile(reply);
    }
    // RFC 6842: the client's identifier goes back to it
    if (request.clientId !== undefined)
      reply.option(DhcpOption.CLIENT_IDENTIFIER, request.clientId);
    const length = reply.finish();

    // RFC 2131, 4.1: where a reply goes
    const isBroadcast =
      type === DhcpType.NAK ||
      (request.clientAddress === 0 && (request.flags & DHCP_FLAG_BROADCAST) !== 0);
    const unicast = request.clientAddress === 0 ? address : request.clientAddress;
    this.#count(request, type, address);
    host.sendUdp(
      frame,
      length,
      {
        source: host.address,
        sourcePort,
        destination: isBroadcast ? IP_BROADCAST : unicast,
        destinationPort: Port.DHCP_CLIENT,
      },
      isBroadcast ? MAC_BROADCAST : request.mac,
    );
  }

  /** Address, network and lease. An answer to INFORM has neither address nor lease. */
  #configuration(reply: DhcpReply, request: DhcpRequest, type: number, address: number): void {
    const plan = this.#plan;
    reply.setAddress('yiaddr', address);
    if (type === DhcpType.ACK) reply.setAddress('ciaddr', request.clientAddress);
    const isLease = address !== 0 && plan.mode !== 'bootp';
    if (isLease) reply.numbers(DhcpOption.LEASE_TIME, 4, plan.leaseSeconds);
    reply.numbers(DhcpOption.SUBNET_MASK, 4, plan.subnet.mask);
    if (plan.classless) {
      // Nobody is there that option 3 tells: clients must not look at it (RFC 3442)
      reply.numbers(DhcpOption.ROUTER, 4, plan.subnet.broadcast - 1);
      const bytes = [plan.router >>> 24, plan.router >>> 16, plan.router >>> 8, plan.router];
      reply.option(DhcpOption.STATIC_ROUTES, [0, ...bytes]);
    } else reply.numbers(DhcpOption.ROUTER, 4, plan.router);
    reply.numbers(DhcpOption.NAME_SERVER, 4, ...plan.nameServers);
    if (plan.mtu !== undefined) reply.numbers(DhcpOption.MTU, 2, plan.mtu);
  }

  #bootFile(reply: DhcpReply): void {
    const { bootFile, style, nextServer, nextServerName, trailingNul } = this.#plan;
    if (bootFile.length === 0) return;
    const terminated = (bytes: Uint8Array): number[] => [...bytes, ...(trailingNul ? [0] : [])];
    const isNamed = nextServerName !== undefined;
    if (style !== 'options' && !isNamed) reply.setAddress('siaddr', nextServer);
    if (style === 'header' || style === 'both') reply.setFile(bootFile);
    if (style === 'options' || style === 'both' || isNamed) {
      const name = nextServerName ?? encodeText(ipText(nextServer));
      reply.option(DhcpOption.TFTP_SERVER_NAME, terminated(name));
    }
    if (style !== 'header') reply.option(DhcpOption.BOOT_FILE, terminated(bootFile));
  }

  #count(request: DhcpRequest, type: number, address: number): void {
    const counters = this.#context.statistics.dhcp;
    if (type === DhcpType.OFFER) counters.offers++;
    else if (type === DhcpType.ACK) counters.acks++;
    else counters.naks++;
    if (this.#context.logging) {
      const name = type === DhcpType.OFFER ? 'OFFER' : type === DhcpType.ACK ? 'ACK' : 'NAK';
      const text = address === 0 ? name : `${name} ${ipText(address)}`;
      this.#context.log(`DHCP ${ipText(this.#host.address)}: ${text} to ${macText(request.mac)}`);
    }
  }

  #unanswered(request: DhcpRequest, name: string, reason: string): void {
    this.#context.statistics.dhcp.unanswered++;
    if (this.#context.logging) {
      const server = ipText(this.#host.address);
      this.#context.log(
        `DHCP ${server}: no answer to ${name} of ${macText(request.mac)}: ${reason}`,
      );
    }
  }
}
