/**
 * Bounds how many calls are out at once. Which call goes when is the core's (budgets, priorities); this only keeps a
 * burst from opening a connection a call. p-queue's own timers are not used: with concurrency alone it arms none.
 */
import PQueue from 'p-queue';
import { isRead } from '../core/cloud.ts';
import type { Provider } from '../ports/provider.ts';
import { decorate } from './decorate.ts';

const WRITES_MAX = 16;
const READS_MAX = 4;

/** Reads and writes queue apart, so that a slow list never holds up an assign. */
export function limited(provider: Provider): Provider {
  const writes = new PQueue({ concurrency: WRITES_MAX });
  const reads = new PQueue({ concurrency: READS_MAX });
  return decorate(provider, (action, call) => (isRead(action) ? reads : writes).add(call, { throwOnTimeout: true }));
}
