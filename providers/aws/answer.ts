/** Answers that the adapter itself gives. */
import type { Answer, CloudFailure } from '../../src/core/cloud.ts';
import type { CallOptions } from '../../src/ports/provider.ts';

export const SUCCESS: Answer<void> = { ok: true, value: undefined };

type PlainKind = Exclude<CloudFailure['kind'], 'exhausted' | 'throttled'>;

export const refuse = (kind: PlainKind, code: string, message: string): Answer<never> => ({
  ok: false,
  failure: { kind, code, message },
});

/** Asked for what this cloud cannot do: nothing was sent. */
export const bug = (message: string): Answer<never> => refuse('bug', 'Unsupported', message);

/** The answer to a change: one that cannot be read says nothing about the change, which was made. */
export function changed<T>(parsed: Answer<T>): Answer<T> {
  return parsed.ok ? parsed : { ok: false, failure: { ...parsed.failure, kind: 'ambiguous' } };
}

export const withoutValue = (answer: Answer<unknown>): Answer<void> => (answer.ok ? SUCCESS : answer);

/** One deadline over all the requests that a call of ours makes. */
export const sharedDeadline = ({ signal, timeoutMs }: CallOptions): CallOptions => ({
  signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  timeoutMs,
});
