// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A ProxyDHCP server, which is its own boot server (PXE 2.1, 2.2): it has no addresses to give, and
 * tells PXE clients what to boot.
 */

import { DhcpOption, DhcpType, Port, PXE_CLASS, PxeOption } from '../../../../src/net/protocol.ts';
import type { NetworkContext } from '../context.ts';
import { choice, NetworkOptionError, whole } from '../options.ts';
import { IP_BROADCAST, MAC_BROADCAST, UDP } from '../protocol.ts';
import type { Datagram, ServerHost } from '../server-host.ts';
import { encodeText } from '../text.ts';
import { DhcpReply, parseDhcp } from './dhcp-message.ts';
import type { DhcpRequest } from './dhcp-message.ts';
import type { Keeper } from '../../base/snapshot.ts';

/**
 * Where the boot file is told: in the offer (`offer`), on port 4011 only (`4011`), or by a boot
 * server, of which the offer has a menu: asked on port 4011 (`menu`) or by broadcast (`broadcast`).
 */
export type ProxyDhcpTells = 'offer' | '4011' | 'menu' | 'broadcast';

/** Options of the ProxyDHCP server. */
export interface ProxyDhcpOptions {
  readonly tells?: ProxyDhcpTells;
  /** Time from DISCOVER to OFFER in ticks. */
  readonly offerDelayTicks?: number;
}

/** Options of one server, complete. */
export interface ProxyDhcpPlan extends Required<ProxyDhcpOptions> {
  readonly bootFile: Uint8Array;
  readonly nextServer: number;
}

const TELLS: readonly ProxyDhcpTells[] = ['offer', '4011', 'menu', 'broadcast'];

/** Longest delay of an OFFER: 60 s. Longest boot file of the header, without its NUL. */
const DELAY_MAX = 600_000_000;
const FILE_MAX = 127;

/** OFFERs that wait for their delay to pass; more are not answered. */
const DELAYED_OFFERS_MAX = 64;

/** Type of the only item of the menu. */
const MENU_TYPE = 1;

/** Plan of the server. @throws NetworkOptionError */
export function planProxyDhcp(
  options: ProxyDhcpOptions,
  bootFile: string,
  nextServer: number,
): ProxyDhcpPlan {
  const bytes = encodeText(bootFile);
  if (bytes.length > FILE_MAX || bytes.includes(0)) {
    const text = `${bytes.length} bytes, but ProxyDHCP has room for ${FILE_MAX}, and no NUL`;
    throw new NetworkOptionError('bootFile', text);
  }
  return {
    tells: choice('proxyDhcp.tells', options.tells, 'offer', TELLS),
    offerDelayTicks: whole('proxyDhcp.offerDelayTicks', options.offerDelayTicks, 0, 0, DELAY_MAX),
    bootFile: bytes,
    nextServer,
  };
}

export class ProxyDhcpServer {
  readonly #context: NetworkContext;
  readonly #host: ServerHost;
  readonly #plan: ProxyDhcpPlan;
  #delayed = 0;

  constructor(context: NetworkContext, host: ServerHost, plan: ProxyDhcpPlan) {
    this.#context = context;
    this.#host = host;
    this.#plan = plan;
    host.bind(Port.DHCP_SERVER, (datagram) => this.#receive(datagram, Port.DHCP_SERVER));
    host.bind(Port.PXE, (datagram) => this.#receive(datagram, Port.PXE));
  }

  /** For a snapshot: all that may change. */
  saveTo(keeper: Keeper): void {
    keeper.put([this.#delayed], (v) => ([this.#delayed] = v));
    keeper.keep(this.#context, this.#host);
  }

  #receive(datagram: Datagram, port: number): void {
    const request = parseDhcp(datagram);
    if (request === undefined) {
      this.#context.count('bad-dhcp');
      return;
    }
    const { tells, offerDelayTicks } = this.#plan;
    if (!request.isPxe) return;
    if (port === Port.DHCP_SERVER && request.type === DhcpType.DISCOVER) {
      if (this.#delayed === DELAYED_OFFERS_MAX) return;
      this.#delayed++;
      this.#context.clock.schedule(offerDelayTicks, () => {
        this.#delayed--;
        this.#send(request, DhcpType.OFFER, tells === 'offer', Port.DHCP_SERVER);
      });
      return;
    }
    if (request.type !== DhcpType.REQUEST) return;
    const here = (tells === 'broadcast') === (port === Port.DHCP_SERVER);
    const isItem = request.bootItem === MENU_TYPE && (tells === 'menu' || tells === 'broadcast');
    const isProxy = request.bootItem === undefined && tells === '4011' && port === Port.PXE;
    if (here && (isItem || isProxy)) this.#send(request, DhcpType.ACK, true, port);
  }

  #send(request: DhcpRequest, type: number, file: boolean, port: number): void {
    const frame = this.#host.allocate();
    if (frame === undefined) return;
    const reply = new DhcpReply(frame.bytes, UDP.end, request);
    reply.option(DhcpOption.MESSAGE_TYPE, [type]);
    reply.numbers(DhcpOption.SERVER_IDENTIFIER, 4, this.#host.address);
    reply.option(DhcpOption.VENDOR_CLASS, encodeText(PXE_CLASS));
    if (request.uuid !== undefined) reply.option(DhcpOption.CLIENT_UUID, request.uuid);
    if (file) {
      reply.setAddress('siaddr', this.#plan.nextServer);
      reply.setFile(this.#plan.bootFile);
    }
    const pxe = type === DhcpType.OFFER ? this.#menu() : item(request);
    if (pxe.length > 0) reply.option(DhcpOption.VENDOR_ENCAPSULATED, [...pxe, DhcpOption.END]);
    const isOffer = type === DhcpType.OFFER;
    this.#host.sendUdp(
      frame,
      reply.finish(),
      {
        source: this.#host.address,
        sourcePort: port,
        destination: isOffer ? IP_BROADCAST : request.clientAddress,
        destinationPort: Port.DHCP_CLIENT,
      },
      isOffer ? MAC_BROADCAST : request.mac,
    );
  }

  /** The menu of boot servers, if there is one. */
  #menu(): number[] {
    const { tells } = this.#plan;
    if (tells !== 'menu' && tells !== 'broadcast') return [];
    const { address } = this.#host;
    const bytes = [address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255];
    const text = [...encodeText('hypxe')];
    return [
      // With a list of servers neither multicast nor broadcast
      ...(tells === 'menu'
        ? [PxeOption.DISCOVERY_CONTROL, 1, 3, PxeOption.BOOT_SERVERS, 7, 0, MENU_TYPE, 1, ...bytes]
        : [PxeOption.DISCOVERY_CONTROL, 1, 2]),
      ...[PxeOption.BOOT_MENU, 3 + text.length, 0, MENU_TYPE, text.length, ...text],
      ...[PxeOption.MENU_PROMPT, 1 + text.length, 0, ...text],
    ];
  }
}

/** The boot item that was asked for goes back. */
function item({ bootItem }: DhcpRequest): number[] {
  if (bootItem === undefined) return [];
  return [PxeOption.BOOT_ITEM, 4, bootItem >>> 8, bootItem & 255, 0, 0];
}
