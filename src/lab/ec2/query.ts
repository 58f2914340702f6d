/**
 * The EC2 Query protocol's parameters, `Filter.1.Value.2=x`, as a tree: names and list positions are both just keys.
 */
import { Ec2Error, unknown } from './ec2-error.ts';

export interface QueryNode {
  /** Absent where only longer names are there. */
  text?: string;
  readonly children: Map<string, QueryNode>;
}

/** `TagSpecification.1.Tag.1.Key`: EC2's deepest names have five parts. */
const DEPTH_MAX = 8;
/** 50 tags and 200 values of 200 filters are far below; it only bounds the work of one request. */
const PARAMETER_COUNT_MAX = 50_000;

/** Parses a form body or a query string; a parameter given twice counts as its last. */
export function parseQuery(encoded: string): QueryNode {
  const root: QueryNode = { children: new Map() };
  const pairs = new URLSearchParams(encoded);
  if (pairs.size > PARAMETER_COUNT_MAX) throw new Ec2Error('InvalidRequest', 'The request has too many parameters');
  for (const [name, text] of pairs) {
    const parts = name.split('.');
    if (parts.length > DEPTH_MAX || parts.some((part) => part === '')) throw unknown(name);
    let node = root;
    for (const part of parts) {
      const child = node.children.get(part) ?? { children: new Map() };
      node.children.set(part, child);
      node = child;
    }
    node.text = text;
  }
  return root;
}
