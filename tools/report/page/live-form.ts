// SPDX-License-Identifier: GPL-2.0-or-later

/** The form of a page that runs something: made of what can be chosen, and read. */

import type { LiveField, LiveFile } from '../live.ts';
import { el } from './dom.ts';

/** A field as it stands in the page. */
interface Control {
  readonly field: LiveField;
  readonly element: HTMLElement;
  /** What is chosen, as text; a file has none. */
  readonly read: () => string;
  readonly write: (value: string) => void;
  readonly file: () => File | undefined;
}

/** Makes the form, and reads it. Its choices are in the page's address, too: behind the `#`. */
export class LiveForm {
  readonly element = el('form', { 'aria-label': 'What is run', class: 'choices' });
  readonly #controls: readonly Control[];

  constructor(fields: readonly LiveField[]) {
    this.#controls = fields.map(controlOf);
    this.element.append(...this.#controls.map(({ element }) => element));
    const given = new URLSearchParams(location.hash.slice(1));
    for (const { field, write } of this.#controls) {
      const value = given.get(field.name);
      if (value !== null) write(value);
    }
  }

  /** What is chosen, by the names of the fields; remembered in the page's address. */
  values(): Record<string, string> {
    const chosen = this.#controls.filter(({ field }) => field.kind !== 'file');
    const values = Object.fromEntries(chosen.map(({ field, read }) => [field.name, read()]));
    location.replace(`#${new URLSearchParams(values).toString()}`);
    return values;
  }

  /** The file that is chosen. @throws Error in words if there is none, or it cannot be read */
  async file(): Promise<LiveFile | undefined> {
    const control = this.#controls.find(({ field }) => field.kind === 'file');
    if (control === undefined) return undefined;
    const file = control.file();
    if (file === undefined) {
      control.element.querySelector('input')?.focus();
      throw new Error(`No file is chosen: ${control.field.label} is what runs.`);
    }
    try {
      return { name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) };
    } catch (error) {
      throw new Error(`${file.name} cannot be read: ${(error as Error).message}`);
    }
  }
}

function controlOf(field: LiveField): Control {
  const none = { file: () => undefined };
  const labelled = (input: HTMLElement): HTMLElement =>
    el('label', { class: field.kind }, el('span', {}, field.label), input);
  switch (field.kind) {
    case 'select': {
      const input = el('select', { name: field.name });
      for (const { value, text } of field.options) input.append(el('option', { value }, text));
      const write = (value: string): void => {
        if (field.options.some((option) => option.value === value)) input.value = value;
      };
      write(field.value);
      return { ...none, field, write, element: labelled(input), read: () => input.value };
    }
    case 'checks': {
      const boxes = field.options.map(({ value, text }) => {
        const box = el('input', { type: 'checkbox', name: field.name, value });
        return { box, label: el('label', {}, box, ` ${text}`) };
      });
      const labels = boxes.map(({ label }) => label);
      const element = el('fieldset', {}, el('legend', {}, field.label), ...labels);
      const on = () => boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
      const write = (value: string): void => {
        for (const { box } of boxes) box.checked = value.split(',').includes(box.value);
      };
      return { ...none, field, write, element, read: () => on().join(',') };
    }
    case 'file': {
      const input = el('input', { type: 'file', name: field.name, title: field.hint });
      const file = (): File | undefined => input.files?.[0];
      return { field, file, write: () => {}, element: labelled(input), read: () => '' };
    }
    default: {
      const input = el('input', { name: field.name, value: field.value, ...attributes(field) });
      const write = (value: string): void => void (input.value = value);
      return { ...none, field, write, element: labelled(input), read: () => input.value };
    }
  }
}

function attributes(field: Extract<LiveField, { kind: 'number' | 'text' }>) {
  if (field.kind === 'text') return { type: 'text', placeholder: field.hint };
  return { type: 'number', min: field.least, max: field.most, step: 1 };
}
