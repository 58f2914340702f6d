/** The memory cloud's refusals as the core's kinds of failure: its table from cloud code to kind. */
import type { InstanceId } from '../../src/core/brand.ts';
import type { Answer, CloudFailure, ExhaustedScope } from '../../src/core/cloud.ts';
import type { CloudRefusal } from './refusal.ts';

type PlainKind = Exclude<CloudFailure['kind'], 'throttled' | 'exhausted'>;
type Verdict = PlainKind | 'throttled' | { readonly exhausted: ExhaustedScope };

const VERDICTS: { readonly [K in CloudRefusal['kind']]: Verdict } = {
  throttled: 'throttled',
  denied: 'denied',
  'not-found': 'notFound',
  invalid: 'bug',
  'eni-in-use': 'conflict',
  'attachment-state': 'conflict',
  'not-attached': 'conflict',
  'primary-eni': 'bug',
  'device-index-in-use': 'conflict',
  'attachment-limit': { exhausted: 'instance' },
  'zone-mismatch': 'bug',
  'instance-state': 'nodeGone',
  'address-limit': { exhausted: 'eni' },
  'subnet-full': { exhausted: 'subnet' },
  'no-prefix': { exhausted: 'prefix' },
  'address-in-use': 'conflict',
  'address-not-in-subnet': 'bug',
  'address-not-on-eni': 'notFound',
  'primary-address': 'bug',
  'eni-limit': { exhausted: 'account' },
  'token-mismatch': 'parameterMismatch',
  'route-exists': 'conflict',
  'route-limit': { exhausted: 'account' },
};

/** `self` is the instance whose provider asks: when it is the one not found, the node is gone. */
export function failureOf(refusal: CloudRefusal, self: InstanceId): CloudFailure {
  const fields = Object.entries(refusal).filter(([key]) => key !== 'kind');
  const text = { code: refusal.kind, message: fields.map(([key, value]) => `${key} ${value}`).join(', ') };
  if (refusal.kind === 'not-found' && refusal.id === self) return { ...text, kind: 'nodeGone' };
  // A subnet or group that is not there comes from the configuration: asking again would never help.
  if (refusal.kind === 'not-found' && refusal.what !== 'eni' && refusal.what !== 'attachment')
    return { ...text, kind: 'bug' };
  const verdict = VERDICTS[refusal.kind];
  // Neither EC2 nor ECS says when to come back, so the refusal's own figure stays with the cloud.
  if (typeof verdict === 'string') return { ...text, kind: verdict };
  return { ...text, kind: 'exhausted', scope: verdict.exhausted };
}

export const failed = (failure: CloudFailure): Answer<never> => ({ ok: false, failure });

export const ambiguous = (code: string): Answer<never> =>
  failed({ kind: 'ambiguous', code, message: 'no answer; the work may be done' });

export const bug = (message: string): Answer<never> => failed({ kind: 'bug', code: 'invalid', message });
