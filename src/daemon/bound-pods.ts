/** Tells the core which pods are bound to this node, and people whether that is heard. */
import type { Logger } from 'pino';
import type { Event } from '../core/events.ts';
import type { BoundPods } from '../ports/pods.ts';
import type { Metrics } from './metrics.ts';

/** Until the returned function is called; without `pods` there is nothing to tell. */
export function hearPods(hearing: {
  readonly pods?: BoundPods | undefined;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly enqueue: (event: Event) => void;
}): () => void {
  const { pods, log, metrics, enqueue } = hearing;
  const end = pods?.watch({
    bound: (pod) => {
      metrics.podBound();
      enqueue({ kind: 'pod-bound', pod });
    },
    gone: (pod) => {
      metrics.podGone();
      enqueue({ kind: 'pod-gone', pod });
    },
    heard: (why) => {
      metrics.podWatch(why === undefined);
      if (why === undefined) log.info('the pods bound to this node are watched');
      else log.warn({ why }, 'the pods bound to this node are not heard of: an address is asked for when its pod asks');
    },
  });
  return () => end?.();
}
