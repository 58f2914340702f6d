/** How this process reaches its cluster's API server. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Under `root`, which is another one only for tests. */
export type Access = { readonly kubeconfig: string } | { readonly serviceAccountUnder: string };

const TOKEN = 'var/run/secrets/kubernetes.io/serviceaccount/token';

/** How this process reaches an API server; undefined where it is in no pod and was given no kubeconfig. */
export function accessOf(options: {
  readonly kubeconfig: string | null;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly root: string;
}): Access | undefined {
  if (options.kubeconfig !== null) return { kubeconfig: options.kubeconfig };
  const isInPod = options.env.KUBERNETES_SERVICE_HOST !== undefined && existsSync(join(options.root, TOKEN));
  return isInPod ? { serviceAccountUnder: options.root } : undefined;
}
