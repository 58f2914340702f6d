/** The shape of a lab: what `underway lab up` can choose, and what it chooses when nothing is said. */
import type { Family } from '../core/ip.ts';
import { UNDERWAY } from '../program/flags.ts';

export interface LabOptions {
  /** Also the beginning of its namespaces' names. */
  readonly name: string;
  readonly nodeCount: number;
  readonly vmCount: number;
  readonly subnetCount: number;
  readonly instanceType: string;
  /** Which ranges the subnets have: at least one. */
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** Which addresses a pod gets; one of each that the subnets have where nothing is said. */
  readonly families?: readonly Family[];
  /** The cloud answers at once. */
  readonly fast: boolean;
  /** Every call takes exactly the time that the figures say, instead of being spread around it. */
  readonly exact: boolean;
  /** A daemon runs on each node. */
  readonly daemons: boolean;
  /** The one that `npm run build` made, instead of the sources as they are. */
  readonly shipped: boolean;
  readonly seed: number;
  /** Where the lab's files are, without its name. */
  readonly stateRoot: string;
  /** Keys of the daemons' configuration over the lab's own. */
  readonly daemonConfig: Readonly<Record<string, unknown>>;
}

export const DEFAULT_LAB: Omit<LabOptions, 'stateRoot'> = {
  name: 'uwlab',
  nodeCount: 3,
  vmCount: 1,
  subnetCount: 2,
  instanceType: 'm5.xlarge',
  ipv4: true,
  ipv6: true,
  fast: false,
  exact: false,
  daemons: true,
  shipped: false,
  seed: 1,
  daemonConfig: {},
};

export const familiesOf = ({ ipv4, ipv6, families }: LabOptions): readonly Family[] =>
  families ?? [...(ipv4 ? [4 as const] : []), ...(ipv6 ? [6 as const] : [])];

/** What to type about this lab, for sentences that end in what to do next. */
export const labCommand = (verb: string, name: string): string =>
  `${UNDERWAY} lab ${verb}${name === DEFAULT_LAB.name ? '' : ` --name ${name}`}`;
