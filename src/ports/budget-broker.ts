/**
 * Who leases shares of the account's rate limits to this node. The daemon's will be the controller's Kubernetes
 * objects; src/sim has one in memory.
 */
import type { BudgetAsk, BudgetLease } from '../core/budget-lease.ts';

export interface BudgetBroker {
  /**
   * Tells what this node wants; each ask replaces the node's last one of the same action. Never throws and answers
   * nothing: what the broker has to say comes to the listener, or never does, and the core lives with either.
   */
  ask(asks: readonly BudgetAsk[]): void;
  /** Hears of each lease, until the returned function is called. */
  listen(listener: (lease: BudgetLease) => void): () => void;
}
