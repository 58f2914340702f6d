/**
 * Decorators of the Provider port: one place that wraps every method, so a concern is written once.
 */
import type { Answer, CloudAction } from '../core/cloud.ts';
import type { Provider } from '../ports/provider.ts';

/** Runs around one call; must call `call` at most once and answer what it answers, or refuse in its place. */
export type Around = <T>(action: CloudAction, call: () => Promise<Answer<T>>) => Promise<Answer<T>>;

export function decorate(provider: Provider, around: Around): Provider {
  return {
    capabilities: provider.capabilities,
    describeNode: (options) => around('describeNode', () => provider.describeNode(options)),
    listSubnets: (query, options) => around('listSubnets', () => provider.listSubnets(query, options)),
    listUse: (query, options) => around('listUse', () => provider.listUse(query, options)),
    listEnis: (options) => around('listEnis', () => provider.listEnis(options)),
    createEni: (wish, options) => around('create', () => provider.createEni(wish, options)),
    attachEni: (eni, wish, options) => around('attach', () => provider.attachEni(eni, wish, options)),
    modifyEni: (eni, change, options) => around('modify', () => provider.modifyEni(eni, change, options)),
    detachEni: (eni, wish, options) => around('detach', () => provider.detachEni(eni, wish, options)),
    deleteEni: (eni, options) => around('delete', () => provider.deleteEni(eni, options)),
    assign: (eni, wish, options) => around('assign', () => provider.assign(eni, wish, options)),
    unassign: (eni, blocks, options) => around('unassign', () => provider.unassign(eni, blocks, options)),
    tag: (eni, tags, options) => around('tag', () => provider.tag(eni, tags, options)),
  };
}
