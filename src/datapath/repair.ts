/**
 * What a list of steps puts right, in a few words: for the one line that says what somebody else removed or changed.
 */
import type { Repair } from '../core/events.ts';
import { objectIdentity, type Place, type Step } from './kernel-state.ts';
import { objectText } from './object-text.ts';

/** Of one kind in one place; more is a flush, which a person need not read to its end. */
const NAMES_MAX = 4;

export function repairOf(steps: readonly Step[]): Repair {
  const put = new Set(steps.flatMap((step) => (step.do === 'put' ? [identityOf(step)] : [])));
  const kinds: Record<string, number> = {};
  const named = new Map<string, number>();
  const names: string[] = [];
  let count = 0;
  for (const step of steps) {
    // What differs is removed where the kernel cannot change it, and put: that is one. So are an address and its route.
    if (step.do === 'remove' && put.has(identityOf(step))) continue;
    if (step.do === 'put' && step.object.kind === 'route' && step.object.type === 'local') continue;
    const kind = step.do === 'put' || step.do === 'remove' ? step.object.kind : 'link';
    kinds[kind] = (kinds[kind] ?? 0) + 1;
    count++;
    const group = `${kind}${'at' in step ? IN[step.at] : ''}`;
    const before = named.get(group) ?? 0;
    named.set(group, before + 1);
    if (before < NAMES_MAX) names.push(nameOf(step));
  }
  return { count, kinds, names };
}

const identityOf = (step: Extract<Step, { do: 'put' | 'remove' }>): string =>
  `${step.at} ${objectIdentity(step.object)}`;

function nameOf(step: Step): string {
  switch (step.do) {
    case 'put':
      return `${objectText(step.object)}${IN[step.at]}`;
    case 'remove':
      return `no ${objectText(step.object)}${IN[step.at]}`;
    case 'set-link': {
      const { name, ...change } = step.link;
      return `link ${name}${IN[step.at]}: ${Object.keys(change).join(', ')}`;
    }
    case 'rename-link':
      return `link ${step.to}: its name, which was ${step.name}`;
    default:
      return step.do;
  }
}

const IN: Readonly<Record<Place, string>> = { host: '', pod: ' in the pod' };
