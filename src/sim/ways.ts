/**
 * Whether an address has its way when a pod is wired with it: on its ENI the kernel has all that the node's plan wants of
 * that ENI and block. Where others change the kernel nothing of this holds until it is mended, and of a link that has
 * just gone or come back the daemon need not have heard.
 */
import type { Capabilities } from '../core/cloud.ts';
import type { Effect } from '../core/events.ts';
import { cidrContains, type Ip } from '../core/ip.ts';
import type { EniPlan, NodePlan } from '../core/plan.ts';
import { type State, Tx } from '../core/state.ts';
import { nodePlan } from '../core/sync.ts';
import { Turn } from '../core/turn.ts';
import { objectIdentity } from '../datapath/kernel-state.ts';
import { veth } from '../datapath/veth.ts';
import type { FakeKernel } from './kernel.ts';
import type { RowChange } from './row-watch.ts';

export interface WaysOptions {
  readonly kernel: FakeKernel;
  readonly capabilities: Capabilities;
  readonly breach: (text: string) => void;
}

export class Ways {
  private readonly options: WaysOptions;
  /** A link went in this batch: it may be back by now, and was there when the address was given. */
  private isMoving = false;

  constructor(options: WaysOptions) {
    this.options = options;
  }

  /** The changes of a whole batch, or none. */
  step(changes: readonly RowChange[]): void {
    if (changes.length > 0) this.isMoving = changes.some(({ table, after }) => table === 'link' && after === undefined);
  }

  sent(effect: Effect, state: State): void {
    if (effect.kind !== 'wire' || !effect.fresh || this.isMoving) return;
    const { kernel, capabilities, breach } = this.options;
    const { addresses, attachment } = effect.plan;
    const whole = nodePlan(new Turn(new Tx(state), { nowMs: 0, wallMs: 0, capabilities }));
    const plan = planFor(addresses, whole);
    if (!plan.enis.every((eni) => this.isUpToDate(eni, state))) return;
    for (const object of veth.wantedNode(plan)) {
      if (object.kind === 'sysctl' || kernel.host.objects.has(objectIdentity(object))) continue;
      return breach(`${attachment.containerId} gets ${addresses} before the kernel has ${objectIdentity(object)}`);
    }
  }

  /** The core knows the link as it is. */
  private isUpToDate({ link, mac }: EniPlan, state: State): boolean {
    const there = this.options.kernel.host.links.get(link);
    return there !== undefined && there.index === state.get('link', mac)?.index;
  }
}

/** The node's plan as if it had these addresses alone. */
function planFor(addresses: readonly Ip[], plan: NodePlan): NodePlan {
  const enis = plan.enis.flatMap((eni) => {
    const blocks = eni.blocks.filter((block) => addresses.some((ip) => cidrContains(block, ip)));
    return blocks.length > 0 || eni.number === 1 ? [{ ...eni, blocks }] : [];
  });
  return { ...plan, enis };
}
