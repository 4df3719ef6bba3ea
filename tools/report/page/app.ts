// SPDX-License-Identifier: GPL-2.0-or-later

/** What the views of a page share: the run, the piece of it that is looked at, where one can go. */

import type { Lane } from '../model/lanes.ts';
import type { Model } from '../model/model.ts';
import type { Axis } from './axis.ts';

/** A view: its tab's name and key, and what it shows. */
export interface View {
  readonly name: string;
  readonly title: string;
  readonly element: HTMLElement;
  /** It is visible now, perhaps for the first time. */
  readonly shown: () => void;
}

export interface App {
  readonly model: Model;
  readonly axis: Axis;
  /** Aborted once another run is shown. */
  readonly gone: AbortSignal;
  /** Go to a lane, or to an event, in the view that has it. */
  readonly goLane: (id: number) => void;
  readonly goEvent: (at: number) => void;
  /** Show a lane, or an event, beside the view. */
  readonly tellLane: (lane: Lane) => void;
  readonly tellEvent: (at: number) => void;
}
