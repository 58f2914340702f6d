/**
 * Runs one effect on its port and brings the result back as an event. Nothing is decided here: which steps a plan
 * takes is the datapath's, what follows from a failure the core's.
 */

import type { OperationId, RequestId } from '../core/brand.ts';
import type { Answer, CloudCall, CloudResult } from '../core/cloud.ts';
import type { Effect, Event, Reply } from '../core/events.ts';
import type { PodPlan } from '../core/plan.ts';
import type { Datapath } from '../datapath/datapath.ts';
import type { Step } from '../datapath/kernel-state.ts';
import type { BudgetBroker } from '../ports/budget-broker.ts';
import type { Kernel } from '../ports/kernel.ts';
import type { CallOptions, Provider } from '../ports/provider.ts';
import { look, sync } from './repair.ts';
import { applied, attemptForPod, kernelFailure } from './steps.ts';

export interface EffectPorts {
  readonly kernel: Kernel;
  readonly datapath: Datapath;
  readonly provider: Provider;
  /** Where the configuration names one (`settings.brokered`); its leases come back as `budget-leased`. */
  readonly broker?: BudgetBroker;
  readonly reply: (request: RequestId, reply: Reply) => void;
  readonly enqueue: (event: Event) => void;
  /** Aborted when the process stops: calls in flight answer `ambiguous`. */
  readonly signal: AbortSignal;
}

type Of<K extends Effect['kind']> = Extract<Effect, { kind: K }>;

export function runEffect(effect: Effect, ports: EffectPorts): void {
  switch (effect.kind) {
    case 'reply':
      return ports.reply(effect.request, effect.reply);
    case 'wire':
      return report(ports, wire(effect, ports));
    case 'unwire':
      return report(ports, unwire(effect, ports));
    case 'verify':
      return report(ports, verify(effect, ports));
    case 'reap':
      return report(ports, reap(effect, ports));
    case 'flush':
      return report(ports, flush(effect, ports));
    case 'sync':
      return report(ports, sync(effect, ports));
    case 'look':
      return report(ports, look(effect, ports));
    case 'cloud':
      return report(ports, cloud(effect, ports));
    case 'ask-budget':
      return ports.broker?.ask(effect.asks);
  }
}

function report(ports: EffectPorts, result: Promise<Event>): void {
  result.then(ports.enqueue);
}

async function wire({ plan, fresh, deadLinks }: Of<'wire'>, ports: EffectPorts): Promise<Event> {
  const { lease, netns } = plan;
  const first: Step[] = deadLinks.length === 0 ? [] : [{ do: 'delete-links', names: deadLinks }];
  const way = fresh
    ? { steps: ports.datapath.wirePod(plan), linkIndex: plan.linkIndex }
    : await repairSteps(plan, ports).catch(kernelFailure);
  if ('errno' in way) return { kind: 'wired', lease, failure: way };
  const { steps, linkIndex } = way;
  const failed = await attemptForPod(plan, [...first, ...steps], ports);
  if (failed[0] === undefined) return { kind: 'wired', lease, linkIndex };
  const { failure } = failed[0];
  const alive = await ports.kernel.identify(netns);
  const errno = alive === undefined ? 'ENONET' : failure.errno;
  // The kernel port tries none of the steps after that one.
  const unmade = fresh && failed.some(({ step }) => step?.do === 'create-veth');
  const taken = unmade && errno === 'EEXIST' && (await hasLink(ports.kernel, netns, plan.attachment.ifname));
  // Where the pair was to be made anew the old link's index stays the lease's: should that link be gone, so is the pod's.
  return { kind: 'wired', lease, failure: { ...failure, errno, ...(taken && { taken }) }, unmade };
}

/** Whose name it was that exists, the one in the pod or the one on the host: the errno is the same. */
const hasLink = (kernel: Kernel, netns: string, name: string): Promise<boolean> =>
  kernel.read(netns).then(
    (pod) => pod?.links.some((link) => link.name === name) === true,
    () => false,
  );

/** What a repeated ADD finds undone, often nothing. */
async function repairSteps(
  plan: PodPlan,
  { kernel, datapath }: EffectPorts,
): Promise<{ steps: readonly Step[]; linkIndex: number }> {
  const actual = await kernel.readPod(plan, datapath.wantedPod(plan));
  if (actual === undefined) return { steps: datapath.wirePod(plan), linkIndex: plan.linkIndex };
  const steps = datapath.repairPod(plan, actual);
  const remade = steps.some((step) => step.do === 'create-veth');
  const there = actual.host.links.find((link) => link.name === plan.link);
  return { steps, linkIndex: remade || there === undefined ? plan.linkIndex : there.index };
}

async function unwire({ lease, ...pod }: Of<'unwire'>, ports: EffectPorts): Promise<Event> {
  // ENODEV: the link went with its namespace, which is as good as the fence.
  const failure = await applied(ports.kernel, ports.datapath.fencePod(pod), {
    forgiven: ['ENODEV'],
  });
  return { kind: 'unwired', lease, ...(failure && { failure }) };
}

async function verify({ plan }: Of<'verify'>, { kernel, datapath }: EffectPorts): Promise<Event> {
  const problems = await kernel.readPod(plan, datapath.wantedPod(plan)).then(
    (actual) =>
      actual === undefined ? [`the network namespace ${plan.netns} is gone`] : datapath.checkPod(plan, actual),
    (cause) => [`the kernel cannot be read (${kernelFailure(cause).errno})`],
  );
  return { kind: 'verified', lease: plan.lease, problems };
}

async function reap({ links }: Of<'reap'>, ports: EffectPorts): Promise<Event> {
  const failure = await applied(ports.kernel, [{ do: 'delete-links', names: links }]);
  return { kind: 'reaped', links, ...(failure && { failure }) };
}

async function flush({ addresses, marks, markMask }: Of<'flush'>, { kernel }: EffectPorts): Promise<Event> {
  let done = addresses.length === 0 || (await flushed(kernel, { addresses }));
  for (const mark of marks) done = (await flushed(kernel, { mark, mask: markMask })) && done;
  return { kind: 'flushed', addresses, marks, done };
}

const flushed = (kernel: Kernel, what: Parameters<Kernel['flushConntrack']>[0]): Promise<boolean> =>
  kernel.flushConntrack(what).catch(() => false);

async function cloud({ operation, call }: Of<'cloud'>, { provider, signal }: EffectPorts): Promise<Event> {
  const options: CallOptions = { signal, timeoutMs: provider.capabilities.callDeadlineMs };
  const answer = await send(provider, operation, call, options).catch(
    (cause): Answer<CloudResult> => ({
      ok: false,
      failure: { kind: 'ambiguous', code: 'ADAPTER', message: Error.isError(cause) ? cause.message : String(cause) },
    }),
  );
  return { kind: 'cloud-answered', operation, answer };
}

/** One call of the core's is one method of the port's. */
async function send(
  provider: Provider,
  token: OperationId,
  call: CloudCall,
  options: CallOptions,
): Promise<Answer<CloudResult>> {
  switch (call.action) {
    case 'create': {
      const { subnet, groups, blocks, tags } = call;
      return mapped(await provider.createEni({ subnet, groups, blocks, tags, token }, options), (eni) => ({
        action: 'create',
        eni,
      }));
    }
    case 'attach': {
      const wish = call.deviceIndex === undefined ? {} : { deviceIndex: call.deviceIndex };
      return mapped(await provider.attachEni(call.eni, wish, options), () => ({ action: 'attach' }));
    }
    case 'modify': {
      const { action: _, eni, ...change } = call;
      return mapped(await provider.modifyEni(eni, change, options), () => ({ action: 'modify' }));
    }
    case 'detach':
      return mapped(await provider.detachEni(call.eni, { force: call.force }, options), () => ({ action: 'detach' }));
    case 'delete':
      return mapped(await provider.deleteEni(call.eni, options), () => ({ action: 'delete' }));
    case 'assign': {
      const wish = { ...call.wish, token, ...(call.blocks && { blocks: call.blocks }) };
      return mapped(await provider.assign(call.eni, wish, options), (blocks) => ({ action: 'assign', blocks }));
    }
    case 'unassign':
      return mapped(await provider.unassign(call.eni, call.blocks, options), () => ({ action: 'unassign' }));
    case 'tag':
      return mapped(await provider.tag(call.eni, call.tags, options), () => ({ action: 'tag' }));
    case 'listEnis':
      return mapped(await provider.listEnis(options), (enis) => ({ action: 'listEnis', enis }));
    case 'listSubnets':
      return mapped(await provider.listSubnets({ ids: call.ids }, options), (subnets) => ({
        action: 'listSubnets',
        subnets,
      }));
    case 'listUse': {
      const { subnet, cidr4 } = call;
      return mapped(await provider.listUse({ subnet, cidr4 }, options), (used) => ({ action: 'listUse', used }));
    }
    case 'describeNode':
      return mapped(await provider.describeNode(options), (node) => ({ action: 'describeNode', node }));
  }
}

const mapped = <T>(answer: Answer<T>, result: (value: T) => CloudResult): Answer<CloudResult> =>
  answer.ok ? { ok: true, value: result(answer.value) } : answer;
