// SPDX-License-Identifier: GPL-2.0-or-later

/** The fields of the dissector: their filter names, types and how values are shown. */

/** Types of Wireshark's Lua `ProtoField`. */
type FieldType = 'uint8' | 'uint16' | 'uint32' | 'uint64' | 'bytes' | 'guid' | 'string';

interface DissectorField {
  readonly protocol: string;
  readonly type: FieldType;
  readonly label: string;
  /** Lua expression of the table of value names. */
  readonly values: string | undefined;
}

/** Members that are GUIDs. */
const GUIDS = ['interfaceId', 'instanceId', 'endpointId', 'serviceId', 'serviceId0', 'serviceId1'];

/** Members that are counted, and so shown as decimal numbers; all others are hexadecimal. */
const DECIMAL =
  /count|length|size|index|channel$|pages|qlen|vp|sint|number|major|minor|mtu|sequence|second|max/i;

/** The tables of value names by prefix and member, or by member alone. */
const VALUES: Readonly<Record<string, string>> = {
  'hypxe.kind': 'CaptureKind',
  'hypxe.direction': 'CaptureDirection',
  'hypxe.change': 'CaptureChange',
  'hypxe.device': 'CaptureDevice',
  'hyperv.vp_register_assignment.name': 'HvRegister',
  'hyperv.synic_message.type': 'HvMessageType',
  'vmbus.msg.type': 'MessageType',
  'vmbus.msg.version': 'VmbusVersion',
  'vmbus.msg.connection_state': 'ConnectionState',
  'vmbus.packet.type': 'PacketType',
  'nvsp.type': 'NvspType',
  'nvsp.status': 'NvspStatus',
  'nvsp.min_version': 'NvspVersion',
  'nvsp.max_version': 'NvspVersion',
  'nvsp.version': 'NvspVersion',
  'nvsp.channel_type': 'RndisChannel',
  'rndis.type': 'RndisType',
  'rndis.status': 'RndisStatus',
  'rndis.oid': 'Oid',
  'ic.type': 'IcType',
  'ic.status': 'IcStatus',
  'ic.file_copy_header.operation': 'FileCopyOperation',
  'ic.file_copy_start.operation': 'FileCopyOperation',
  'ic.file_copy_data.operation': 'FileCopyOperation',
};

/** `targetVp` as `target_vp`. */
export function snake(name: string): string {
  return name.replace(/(?!^)([A-Z])/g, '_$1').toLowerCase();
}

export class FieldTable {
  readonly #fields = new Map<string, DissectorField>();

  /** Add a field. @throws Error if there is another one of that name */
  add(protocol: string, name: string, type: FieldType, label: string, values?: string): void {
    const had = this.#fields.get(name);
    if (had !== undefined && had.type !== type) throw new Error(`two fields ${name}`);
    this.#fields.set(name, { protocol, type, label, values });
  }

  /**
   * The filter name of a member of a structure. Members of one name and size are one field for all
   * structures of a prefix; where sizes differ, the name of the structure goes in between.
   */
  member(
    protocol: string,
    prefix: string,
    structure: string,
    member: string,
    size: number,
  ): string {
    const type = typeOf(member, size);
    let name = `${prefix}.${snake(member)}`;
    const had = this.#fields.get(name);
    if (had !== undefined && had.type !== type) {
      name = `${prefix}.${snake(structure)}.${snake(member)}`;
    }
    const table = VALUES[name];
    const label = snake(member).replaceAll('_', ' ');
    this.add(protocol, name, type, label, table === undefined ? undefined : `V.${table}`);
    return name;
  }

  /** The fields in Lua: the table `F`, and which protocol has which. */
  lua(): string {
    const lines = ['local F = {}'];
    for (const [name, field] of this.#fields) lines.push(`F["${name}"] = ${fieldLua(name, field)}`);
    const protocols = new Set([...this.#fields.values()].map(({ protocol }) => protocol));
    for (const protocol of protocols) {
      const own = [...this.#fields].filter(([, field]) => field.protocol === protocol);
      const list = own.map(([name]) => `  F["${name}"],`).join('\n');
      lines.push(`${VARIABLES[protocol] ?? `p_${protocol}`}.fields = {\n${list}\n}`);
    }
    return lines.join('\n');
  }
}

/** The Lua variables of protocols, where they are not `p_` and the name. */
const VARIABLES: Readonly<Record<string, string>> = {
  hypxe: 'p_hypxe',
  hyperv: 'p_hv',
  vmbus: 'p_vmbus',
  nvsp: 'p_nvsp',
  rndis: 'p_rndis',
  ic: 'p_ic',
};

function typeOf(member: string, size: number): FieldType {
  if (GUIDS.includes(member)) return 'guid';
  if (size === 1) return 'uint8';
  if (size === 2) return 'uint16';
  if (size === 4) return 'uint32';
  return size === 8 ? 'uint64' : 'bytes';
}

function fieldLua(name: string, { type, label, values }: DissectorField): string {
  if (type === 'bytes' || type === 'guid' || type === 'string') {
    return `ProtoField.${type}("${name}", "${label}")`;
  }
  const base = DECIMAL.test(label.replaceAll(' ', '_')) ? 'DEC' : 'HEX';
  const names = values === undefined ? '' : `, ${values}`;
  return `ProtoField.${type}("${name}", "${label}", base.${base}${names})`;
}
