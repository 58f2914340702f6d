/**
 * Steps as the core hears of them: what the kernel port refused of a batch, or threw.
 */
import type { KernelFailure } from '../core/events.ts';
import type { PodPlan } from '../core/plan.ts';
import type { Datapath } from '../datapath/datapath.ts';
import type { Step } from '../datapath/kernel-state.ts';
import type { Kernel, StepFailure } from '../ports/kernel.ts';

/** The first failure that matters; undefined when all steps, which are the host's, are done. */
export async function applied(
  kernel: Pick<Kernel, 'apply'>,
  steps: readonly Step[],
  { forgiven = [] }: { readonly forgiven?: readonly string[] } = {},
): Promise<KernelFailure | undefined> {
  const failed = await attempt(kernel, steps);
  return failed.find(({ failure }) => !forgiven.includes(failure.errno))?.failure;
}

interface Failed {
  /** Undefined where nobody knows how far the kernel came. */
  readonly step: Step | undefined;
  /** As the core hears of it. */
  readonly failure: KernelFailure;
}

async function attempt(
  kernel: Pick<Kernel, 'apply'>,
  steps: readonly Step[],
  netns?: string,
): Promise<readonly Failed[]> {
  if (steps.length === 0) return [];
  try {
    const failures = await kernel.apply(steps, netns === undefined ? undefined : { netns });
    return failures.map((each) => ({ step: each.step, failure: { step: stepText(each), errno: each.errno } }));
  } catch (cause) {
    return [{ step: undefined, failure: kernelFailure(cause) }];
  }
}

/**
 * All that failed of what wires or mends a pod. A namespace may be made with IPv6 off (`default.disable_ipv6`), or somebody
 * in it turns it off for the link (`eth0.disable_ipv6`), and then that takes nothing of IPv6. It is found out by trying: to
 * write the switch for every pod would cost each of them a write to /proc.
 */
export async function attemptForPod(
  plan: PodPlan,
  steps: readonly Step[],
  { kernel, datapath }: { readonly kernel: Kernel; readonly datapath: Datapath },
): Promise<readonly Failed[]> {
  const failed = await attempt(kernel, steps, plan.netns);
  const refused = failed.flatMap(({ step, failure }) => (step?.do === 'put' ? [{ step, errno: failure.errno }] : []));
  if (refused.length < failed.length || !refused.some(({ errno }) => errno === 'EACCES')) return failed;
  const places = new Set(refused.map(({ step }) => step.at));
  const switches = [...places].map((at) => datapath.allowIpv6(plan, at));
  return attempt(kernel, [...switches, ...refused.map(({ step }) => step)], plan.netns);
}

/** What the kernel port threw, such as EINTR for a read that changes interrupted every time, or EMFILE. */
export function kernelFailure(cause: unknown): KernelFailure {
  if (!Error.isError(cause)) return { step: 'talk to the kernel', errno: 'EIO' };
  const code = 'code' in cause && typeof cause.code === 'string' && cause.code !== '' ? cause.code : 'EIO';
  return { step: cause.message, errno: code };
}

function stepText({ step, message }: StepFailure): string {
  const what =
    step.do === 'put' || step.do === 'remove'
      ? `${step.do} ${step.object.kind} ${'link' in step.object ? (step.object.link ?? '') : ''}`
      : step.do;
  return message === '' ? what.trim() : `${what.trim()}: ${message}`;
}
