// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * What a snapshot of the simulator could forget, found in its sources: fields that may change and
 * that `saveTo` does not name, variables that functions share, objects that nobody holds.
 */

import { parsers } from 'prettier/plugins/typescript';

/** A node of the syntax tree, as ESTree has them. */
interface Node {
  readonly type: string;
  readonly range: readonly [number, number];
  readonly [key: string]: unknown;
}

/** What is wrong: `Class.field`, `Class`, `variable NAME` or a line, and why. */
export interface Forgotten {
  readonly what: string;
  readonly why: string;
}

/** Types whose values do not change: numbers, texts, functions, and what is given at the start. */
const PRIMITIVE = /^(?:number|string|boolean|bigint|undefined|null|'[^']*'|-?\d+|keyof .*)$/;
const GIVEN = new RegExp(
  '(?:Options|Plan|Knobs|Profile|Terms|Rules|Source|Identity|Subnet|Names)>?$' +
    '|^(?:Architecture|ClientName|ArrayBufferLike|RamWindow|NetworkLog|InterruptSink)$',
);
const CONSTANT = /^(?:readonly (?!NetVsp\b).*|Readonly(?:Map|Set|Bytes)\b.*|MemoryRange\[\])$/;

const isConstantType = (type: string): boolean =>
  /=>/.test(type) ||
  type
    .split('|')
    .map((part) => part.trim())
    .every((part) => PRIMITIVE.test(part) || GIVEN.test(part) || CONSTANT.test(part));

/** A value that a field begins with, and that does not change if the field does not. */
const CONSTANT_VALUE = /^(?:-?[\d_.]+n?|'.*'|true|false|[A-Z][\w$]*(?:\.\w+)*|.*=>[^]*)$/;

function isNode(value: unknown): value is Node {
  return typeof (value as Partial<Node> | null)?.type === 'string';
}

/** What is of a tree, and not of its places. */
const PLACES = new Set(['loc', 'range', 'parent', 'tokens', 'comments']);

/** All nodes of a tree, from the top; those behind a function of it only if `deep`. */
function nodesOf(tree: unknown, deep = true, into: Node[] = []): Node[] {
  if (Array.isArray(tree)) for (const each of tree) nodesOf(each, deep, into);
  if (!isNode(tree)) return into;
  into.push(tree);
  if (!deep && FUNCTION.test(tree.type)) return into;
  for (const key in tree) if (!PLACES.has(key)) nodesOf(tree[key], deep, into);
  return into;
}

const FUNCTION = /^(?:FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/;

/** What is forgotten in a source, by what it says. */
export function forgottenIn(source: string): Forgotten[] {
  const tree = (parsers.typescript.parse as (text: string, options: object) => unknown)(source, {
    filepath: 'source.ts',
  });
  const text = (node: Node): string => source.slice(...node.range);
  const line = (node: Node): number => source.slice(0, node.range[0]).split('\n').length;
  const found: Forgotten[] = [];
  const all = nodesOf(tree);
  for (const node of all) {
    if (/^Class(?:Declaration|Expression)$/.test(node.type)) found.push(...forgottenBy(node, text));
    const expression = node['expression'];
    if (node.type === 'ExpressionStatement' && isNode(expression)) {
      if (expression.type !== 'NewExpression') continue;
      found.push({ what: `line ${line(node)}`, why: 'nobody holds the object that is made here' });
    }
  }
  for (const name of sharedVariables(all))
    found.push({ what: `variable ${name}`, why: 'functions share it, and it changes' });
  return found;
}

function forgottenBy(node: Node, text: (node: Node) => string): Forgotten[] {
  const members = (node['body'] as Node)['body'] as Node[];
  const name = isNode(node['id']) ? text(node['id']) : 'a class';
  const method = members.find(
    (member) => isNode(member['key']) && text(member['key']) === 'saveTo',
  );
  const said = method === undefined ? [] : nodesOf(method).filter(isOwn).map(text);
  const found: Forgotten[] = [];
  for (const member of members) {
    if (member.type !== 'PropertyDefinition' || member['static'] === true) continue;
    const field = text(member['key'] as Node);
    const times = said.filter((other) => other === `this.${field}`).length;
    const what = `${name}.${field}`;
    if (member['readonly'] !== true) {
      if (times < 2) found.push({ what, why: 'it may change, and saveTo does not put it back' });
    } else if (!isConstant(member, text) && times < 1) {
      found.push({ what, why: 'what it holds may change, and saveTo does not keep it' });
    }
  }
  const calls = method === undefined ? '' : text(method);
  if (isNode(node['superClass']) && method !== undefined && !/super\.saveTo\(|: never/.test(calls))
    found.push({ what: name, why: 'saveTo leaves out what it extends' });
  return found;
}

function isOwn({ type, object }: Node): boolean {
  return type === 'MemberExpression' && isNode(object) && object.type === 'ThisExpression';
}

function isConstant(member: Node, text: (node: Node) => string): boolean {
  const { typeAnnotation: type, value } = member;
  if (isNode(type)) return isConstantType(text(type).replace(/^:\s*/, '').replace(/\s+/g, ' '));
  return isNode(value) && CONSTANT_VALUE.test(text(value));
}

// --- variables ---

/** Variables of a function that change and that a function within it uses: a state of nobody. */
function sharedVariables(all: readonly Node[]): string[] {
  const found: string[] = [];
  for (const outer of all) {
    if (!FUNCTION.test(outer.type)) continue;
    const own = nodesOf(outer['body'], false);
    // Those of a loop are new in each of its turns
    const loops = own.map(({ init, left }) => init ?? left);
    const changing = own.filter(
      (node) =>
        node.type === 'VariableDeclaration' && node['kind'] === 'let' && !loops.includes(node),
    );
    if (changing.length === 0) continue;
    const inner = own.filter(({ type }) => FUNCTION.test(type)).flatMap((each) => nodesOf(each));
    for (const { id } of changing.flatMap(({ declarations }) => declarations as { id: Node }[])) {
      const name = String(id['name']);
      if (inner.some((each) => each.type === 'Identifier' && each['name'] === name))
        found.push(name);
    }
  }
  return found;
}
