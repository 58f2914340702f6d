/**
 * CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=…;K8S_POD_NAME=…;K8S_POD_UID=…` in any order. Read leniently: a
 * pair without `=` is skipped (libcni's own parser refuses the whole), what we do not know is none of our business.
 */
import type { PodRef } from '../core/rows.ts';

/** The pod that the runtime acts for; undefined when it names none, as a runtime outside Kubernetes. */
export function podOf(args: string): PodRef | undefined {
  const values = new Map<string, string>();
  for (const pair of args.split(';')) {
    const equals = pair.indexOf('=');
    if (equals > 0) values.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  const namespace = values.get('K8S_POD_NAMESPACE');
  const name = values.get('K8S_POD_NAME');
  if (!namespace || !name) return undefined;
  return { namespace, name, uid: values.get('K8S_POD_UID') ?? '' };
}
