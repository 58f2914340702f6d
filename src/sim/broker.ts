/**
 * A budget broker in memory: the core's own ledger on virtual time, a network delay away from its nodes. It can die,
 * and a new one, which knows nothing of what the old one granted, can take its place.
 */
import { type BudgetAsk, type BudgetLease, BudgetLedger } from '../core/budget-lease.ts';
import type { Capabilities } from '../core/cloud.ts';
import type { BudgetBroker } from '../ports/budget-broker.ts';
import type { VirtualClock } from './clock.ts';

export interface SimBrokerOptions {
  readonly clock: VirtualClock;
  readonly rates: Capabilities['rates'];
  /** One way between a node and the broker. */
  readonly delayMs: number;
}

export class SimBroker {
  /** Messages from nodes and to them. */
  readonly counts = { asks: 0, leases: 0 };
  private readonly options: SimBrokerOptions;
  private readonly listeners = new Map<string, (lease: BudgetLease) => void>();
  private ledger: BudgetLedger | undefined;
  private cancelTimer: (() => void) | undefined;

  constructor(options: SimBrokerOptions) {
    this.options = options;
    this.start();
  }

  /** A new process: the ledger of the last one is gone. */
  start(): void {
    this.ledger = new BudgetLedger(this.options.rates, this.options.clock.nowMs());
  }

  /** What is on its way arrives; nothing more comes. */
  die(): void {
    this.ledger = undefined;
    this.cancelTimer?.();
  }

  /** The broker as one node sees it. */
  port(node: string): BudgetBroker {
    return {
      ask: (asks) => {
        this.options.clock.after(this.options.delayMs, () => this.asked(node, asks));
      },
      listen: (listener) => {
        this.listeners.set(node, listener);
        return () => this.listeners.delete(node);
      },
    };
  }

  private asked(node: string, asks: readonly BudgetAsk[]): void {
    if (this.ledger === undefined) return;
    this.counts.asks++;
    this.ledger.ask(node, asks);
    this.deliver();
  }

  private deliver(): void {
    const { ledger, options } = this;
    if (ledger === undefined) return;
    const { clock, delayMs } = options;
    for (const { node, lease } of ledger.deliver(clock.nowMs())) {
      this.counts.leases++;
      clock.after(delayMs, () => this.listeners.get(node)?.(lease));
    }
    this.cancelTimer?.();
    const nextMs = ledger.nextMs(clock.nowMs());
    this.cancelTimer = nextMs === undefined ? undefined : clock.timer(nextMs, () => this.deliver());
  }
}
