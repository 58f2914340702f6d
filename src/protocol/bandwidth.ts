/**
 * What a pod may receive and send, as its runtime says it: by the capability `bandwidth`, or by the pod's annotations.
 *
 * Where there is the capability, the annotations are not looked at: containerd and CRI-O make it of these very
 * annotations, so it says the same or what somebody decided who knows better. Only a runtime that makes none of them
 * leaves them to us.
 */
import type { Bandwidth, Rate } from '../core/plan.ts';
import { type Checked, CODE, type Refused } from './error.ts';
import { parseQuantity } from './quantity.ts';
import { ANNOTATION, type RuntimeConfig } from './runtime-config.ts';

/** What the kubelet and the runtimes allow (pkg/util/bandwidth): 1k to 1P. */
const BITS_PER_SECOND = { min: 1e3, max: 1e15 } as const;

const DIRECTIONS = ['ingress', 'egress'] as const;
type Direction = (typeof DIRECTIONS)[number];

/** Undefined where nothing limits the pod. Code 7 for a rate that is none. */
export function bandwidthOf(runtime: RuntimeConfig): Checked<Bandwidth | undefined> {
  const limits: { -readonly [D in Direction]?: Rate } = {};
  for (const direction of DIRECTIONS) {
    const rate = runtime.bandwidth === undefined ? annotated(runtime, direction) : capability(runtime, direction);
    if ('error' in rate) return rate;
    if (rate.value !== undefined) limits[direction] = rate.value;
  }
  return { value: Object.keys(limits).length === 0 ? undefined : limits };
}

/** 0 is no limit. */
function capability({ bandwidth }: RuntimeConfig, direction: Direction): Checked<Rate | undefined> {
  const bitsPerSecond = bandwidth?.[`${direction}Rate`] ?? 0;
  const burstBits = bandwidth?.[`${direction}Burst`] ?? 0;
  if (bitsPerSecond === 0) return { value: undefined };
  if (!isReasonable(bitsPerSecond)) return refused(`runtimeConfig.bandwidth.${direction}Rate`, bitsPerSecond);
  return { value: { bitsPerSecond, ...(burstBits > 0 && { burstBits }) } };
}

function annotated({ podAnnotations }: RuntimeConfig, direction: Direction): Checked<Rate | undefined> {
  const key = ANNOTATION[direction];
  const text = podAnnotations[key];
  if (text === undefined) return { value: undefined };
  const bitsPerSecond = parseQuantity(text);
  if (bitsPerSecond === undefined || !isReasonable(bitsPerSecond)) return refused(`the pod's annotation ${key}`, text);
  return { value: { bitsPerSecond } };
}

const isReasonable = (bits: number): boolean => bits >= BITS_PER_SECOND.min && bits <= BITS_PER_SECOND.max;

function refused(key: string, value: string | number): Refused {
  const shown = JSON.stringify(value).slice(0, 80);
  const msg = `${key} is ${shown}: it must be a rate from 1k to 1P bits a second, such as "10M"`;
  return { error: { code: CODE.invalidConfig, msg } };
}
