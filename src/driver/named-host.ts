/**
 * The host's namespace, read with pods' links under their own names: others may rename one that is up (Linux 6.2), and
 * nothing of ours would find it.
 */
import type { KernelFailure } from '../core/events.ts';
import type { Datapath } from '../datapath/datapath.ts';
import type { KernelState, Step } from '../datapath/kernel-state.ts';
import type { Kernel } from '../ports/kernel.ts';
import { applied } from './steps.ts';

export interface NamedHost {
  readonly host: KernelState;
  /** What gave names back, before the read. */
  readonly renames: readonly Extract<Step, { do: 'rename-link' }>[];
  readonly failure?: KernelFailure;
}

/** Of links whose own name is asked for. Undefined where there is no such namespace; throws as `read`. */
export async function readNamedHost(
  { kernel, datapath }: { readonly kernel: Pick<Kernel, 'read' | 'apply'>; readonly datapath: Datapath },
  isAskedFor: (name: string) => boolean = () => true,
): Promise<NamedHost | undefined> {
  const found = await kernel.read();
  if (found === undefined) return undefined;
  const renames = datapath.nameBack(found).filter(({ to }) => isAskedFor(to));
  if (renames.length === 0) return { host: found, renames };
  // ENODEV: the pod ended meanwhile.
  const failure = await applied(kernel, renames, { forgiven: ['ENODEV'] });
  const host = await kernel.read();
  return host && { host, renames, ...(failure && { failure }) };
}
