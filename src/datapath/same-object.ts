/**
 * Whether the kernel holds an object as wanted. What a plan leaves out and what a read shows as false are the same.
 */
import type { KernelObject } from './kernel-state.ts';

/** Both have the same identity (`objectIdentity`); true when nothing has to be done. */
export function sameObject(wanted: KernelObject, actual: KernelObject): boolean {
  // A rule is all identity; its protocol alone cannot be changed, and adding it again is EEXIST.
  if (wanted.kind === 'rule') return true;
  return sameValue(comparable(wanted), comparable(actual));
}

/** IPv6 shows an unreachable route on `lo`, IPv4 on nothing. */
function comparable(object: KernelObject): KernelObject {
  if (object.kind !== 'route' || object.type !== 'unreachable') return object;
  const { link: _lo, ...route } = object;
  return route;
}

function sameValue(a: unknown, b: unknown): boolean {
  if ((a ?? false) === (b ?? false)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    return a.length === b.length && a.every((byte, at) => byte === b[at]);
  }
  const left = a as Readonly<Record<string, unknown>>;
  const right = b as Readonly<Record<string, unknown>>;
  return (
    Object.keys(left).every((key) => sameValue(left[key], right[key])) &&
    Object.keys(right).every((key) => key in left || sameValue(undefined, right[key]))
  );
}
