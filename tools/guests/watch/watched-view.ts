// SPDX-License-Identifier: GPL-2.0-or-later

/**
 * A DataView that calls back around each access. One class for all memories, with each accessor
 * written out: so the engine knows what a guest calls, and compiles it.
 */

import type { AccessListener } from './access-listener.ts';

/** The constructor of the engine, kept before anybody puts another one in its place. */
const NativeView = DataView as unknown as new (
  buffer: ArrayBufferLike,
  at?: number,
  length?: number,
) => DataView;

/** What a watched view has besides: no name that a guest could meet. */
const LISTENER = Symbol('listener');
const BASE = Symbol('base');

export class WatchedView extends NativeView {
  readonly [LISTENER]: AccessListener;
  readonly [BASE]: number;

  constructor(listener: AccessListener, buffer: ArrayBufferLike, at?: number, length?: number) {
    super(buffer, at, length);
    this[LISTENER] = listener;
    this[BASE] = this.byteOffset;
  }

  override getInt8(at: number): number {
    this[LISTENER].load(this[BASE] + at, 1);
    return super.getInt8(at);
  }

  override setInt8(at: number, value: number): void {
    const { stores } = this[LISTENER];
    stores?.storing(this[BASE] + at, 1);
    super.setInt8(at, value);
    stores?.stored(this[BASE] + at, 1);
  }

  override getUint8(at: number): number {
    this[LISTENER].load(this[BASE] + at, 1);
    return super.getUint8(at);
  }

  override setUint8(at: number, value: number): void {
    const { stores } = this[LISTENER];
    stores?.storing(this[BASE] + at, 1);
    super.setUint8(at, value);
    stores?.stored(this[BASE] + at, 1);
  }

  override getInt16(at: number, little?: boolean): number {
    this[LISTENER].load(this[BASE] + at, 2);
    return super.getInt16(at, little);
  }

  override setInt16(at: number, value: number, little?: boolean): void {
    const { stores } = this[LISTENER];
    stores?.storing(this[BASE] + at, 2);
    super.setInt16(at, value, little);
    stores?.stored(this[BASE] + at, 2);
  }

  override getUint16(at: number, little?: boolean): number {
    this[LISTENER].load(this[BASE] + at, 2);
    return super.getUint16(at, little);
  }

  override setUint16(at: number, value: number, little?: boolean): void {
    const { stores } = this[LISTENER];
    stores?.storing(this[BASE] + at, 2);
    super.setUint16(at, value, little);
    stores?.stored(this[BASE] + at, 2);
  }

  override getInt32(at: number, little?: boolean): number {
    this[LISTENER].load(this[BASE] + at, 4);
    return super.getInt32(at, little);
  }

  override setInt32(at: number, value: number, little?: boolean): void {
    const { stores } = this[LISTENER];
    stores?.storing(this[BASE] + at, 4);
    super.setInt32(at, value, little);
    stores?.stored(this[BASE] + at, 4);
  }

  override getUint32(at: number, little?: boolean): number {
    this[LISTENER].load(this[BASE] + at, 4);
    return super.getUint32(at, little);
  }

  override setUint32(at: number, value: number, little?: boolean): void {
    const { stores } = this[LISTENER];
    stores?.storing(this[BASE] + at, 4);
    super.setUint32(at, value, little);
    stores?.stored(this[BASE] + at, 4);
  }

  override getFloat32(at: number, little?: boolean): number {
    this[LISTENER].load(this[BASE] + at, 4);
    return super.getFloat32(at, little);
  }

  override setFloat32(at: number, value: number, little?: boolean): void {
    const { stores } = this[LISTENER];
    stores?.storing(this[BASE] + at, 4);
    super.setFloat32(at, value, little);
    stores?.stored(this[BASE] + at, 4);
  }

  override getFloat64(at: number, little?: boolean): number {
    this[LISTENER].load(this[BASE] + at, 8);
    return super.getFloat64(at, little);
  }

  override setFloat64(at: number, value: number, little?: boolean): void {
    const { stores } = this[LISTENER];
    stores?.storing(this[BASE] + at, 8);
    super.setFloat64(at, value, little);
    stores?.stored(this[BASE] + at, 8);
  }

  override getBigInt64(at: number, little?: boolean): bigint {
    this[LISTENER].load(this[BASE] + at, 8);
    return super.getBigInt64(at, little);
  }

  override setBigInt64(at: number, value: bigint, little?: boolean): void {
    const { stores } = this[LISTENER];
    stores?.storing(this[BASE] + at, 8);
    super.setBigInt64(at, value, little);
    stores?.stored(this[BASE] + at, 8);
  }

  override getBigUint64(at: number, little?: boolean): bigint {
    this[LISTENER].load(this[BASE] + at, 8);
    return super.getBigUint64(at, little);
  }

  override setBigUint64(at: number, value: bigint, little?: boolean): void {
    const { stores } = this[LISTENER];
    stores?.storing(this[BASE] + at, 8);
    super.setBigUint64(at, value, little);
    stores?.stored(this[BASE] + at, 8);
  }
}

Object.defineProperty(WatchedView.prototype, 'constructor', { value: DataView });

// What newer engines have besides
const native = DataView.prototype as unknown as Record<string, Accessor | undefined>;
const { getFloat16, setFloat16 } = native;
if (getFloat16 !== undefined && setFloat16 !== undefined) {
  define('getFloat16', function (at, little) {
    this[LISTENER].load(this[BASE] + at, 2);
    return getFloat16.call(this, at, little);
  });
  define('setFloat16', function (at, value, little) {
    const { stores } = this[LISTENER];
    stores?.storing(this[BASE] + at, 2);
    setFloat16.call(this, at, value, little);
    stores?.stored(this[BASE] + at, 2);
  });
}

type Accessor = (this: WatchedView, at: number, ...rest: unknown[]) => unknown;

function define(name: string, value: Accessor): void {
  Object.defineProperty(WatchedView.prototype, name, { configurable: true, value });
}
