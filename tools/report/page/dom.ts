// SPDX-License-Identifier: GPL-2.0-or-later

/** Makes elements. Text is always text: nothing here reads markup. */

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;
type Child = Node | string | undefined;

/** An HTML element; attributes that are false or undefined are left out, true is ''. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

/** An SVG element. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag);
  fill(element, attributes, children);
  return element;
}

function fill(element: Element, attributes: Attributes, children: readonly Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children) if (child !== undefined) element.append(child);
}

/** Calls as often as one likes, and is done once before the next frame is drawn. */
export function beforeNextFrame(draw: () => void): () => void {
  let pending = false;
  return () => {
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => {
      pending = false;
      draw();
    });
  };
}

/** A button that leads somewhere in the page. */
export function link(label: string, go: () => void): HTMLButtonElement {
  const button = el('button', { type: 'button', class: 'link' }, label);
  button.addEventListener('click', go);
  return button;
}

/** A list of terms with what they are; empty values are left out. */
export function terms(pairs: readonly (readonly [string, string | Node])[]): HTMLElement {
  const dl = el('dl');
  for (const [name, value] of pairs) {
    if (value === '') continue;
    const number = typeof value === 'string' && /^(0x)?[\da-f]+$/.test(value);
    dl.append(el('dt', {}, name), el('dd', number ? { class: 'number' } : {}, value));
  }
  return dl;
}

/** A time in ms, as the log has it. */
export function time(ms: number): string {
  return ms.toFixed(4);
}
