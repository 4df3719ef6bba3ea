// SPDX-License-Identifier: GPL-2.0-or-later

/** How the words behind a command are read: options by name, each once, and the rest in order. */

import { parseArgs, type ParseArgsConfig } from 'node:util';
import { UsageError, didYouMean, quoted } from './usage.ts';

/** The options of a command, as `parseArgs` takes them. */
export type Options = NonNullable<ParseArgsConfig['options']>;

/** Longest word behind a command: a path has 4096 bytes on Linux, a list of options is shorter. */
const WORD_MAX = 65_536;

/**
 * Read the words behind a command. Numbers may be negative (`--nics -1` is a bad number, not two
 * options); anything else that begins with `-` is an option, and never another one's value unless
 * it is written `--name=value`.
 *
 * @throws UsageError BadOption: unknown (with the nearest name), given twice, without its value,
 *   with a value that it does not take; EmptyArgument
 */
export function parseArguments<const T extends Options>(
  command: string,
  args: readonly string[],
  options: T,
) {
  const config = { options, allowPositionals: true, strict: false, tokens: true } as const;
  const { tokens } = parseArgs({ args: [...args], ...config });
  const seen = new Set<string>();
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const { name, rawName, value, inlineValue } = token;
    const help = `See hypxe ${command} --help.`;
    const bad = (text: string, advice = help): UsageError =>
      new UsageError('BadOption', text, advice);
    const option = Object.hasOwn(options, name) ? options[name] : undefined;
    if (option === undefined) {
      throw bad(`there is no option ${quoted(rawName)}`, nearest(rawName, options, help));
    }
    if (seen.has(name) && option.multiple !== true) throw bad(`${rawName} is given twice`);
    seen.add(name);
    if (option.type === 'boolean') {
      if (value !== undefined) throw bad(`${rawName} takes no value`);
      continue;
    }
    const isOption = inlineValue === false && value !== undefined && /^-[^0-9.]/.test(value);
    if (value === undefined || isOption) throw bad(`${rawName} has no value`);
    if (value === '') throw bad(`${rawName} has an empty value`);
    if (value.length > WORD_MAX) throw bad(`${rawName} has a value of ${value.length} characters`);
  }
  // Such as a variable of a shell that is not set
  if (tokens.some((token) => token.kind === 'positional' && token.value === '')) {
    const advice = `See hypxe ${command} --help.`;
    throw new UsageError('EmptyArgument', 'one of the words behind the command is empty', advice);
  }
  // All is known: read it again for what the types say
  return parseArgs({ args: joined(tokens), options, allowPositionals: true });
}

/** The nearest options of a name that is none. */
function nearest(rawName: string, options: Options, help: string): string {
  const names = Object.entries(options).flatMap(([name, { short }]) =>
    short === undefined ? [`--${name}`] : [`--${name}`, `-${short}`],
  );
  return didYouMean(rawName, names, help);
}

interface Token {
  readonly kind: string;
  readonly name?: string;
  readonly value?: string | undefined;
}

/**
 * The same words, each option by its long name and with its value behind a `=`, where `parseArgs`
 * takes it whatever it is: also an empty one, behind which the next word would be taken for it.
 */
function joined(tokens: readonly Token[]): string[] {
  const given = tokens.filter(({ kind }) => kind === 'option');
  const rest = tokens.filter(({ kind }) => kind === 'positional');
  return [
    ...given.map(({ name, value }) => (value === undefined ? `--${name}` : `--${name}=${value}`)),
    '--',
    ...rest.map(({ value }) => value!),
  ];
}
