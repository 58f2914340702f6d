/**
 * nft steps as one transaction: all of them are done, or none.
 * Removing what is not there must succeed, but to the kernel it fails the whole; such a message is left out and the rest
 * sent again. (NFT_MSG_DESTROY* would say the same from kernel 6.3 on, without the second send.)
 */
import type { KernelObject, Step } from '../../datapath/kernel-state.ts';
import { answerText } from '../netlink-socket.ts';
import type { Session } from '../session.ts';
import { putChain, removeChain } from './chain.ts';
import { putElement, removeElement } from './element.ts';
import { batchBegin, batchEnd } from './message.ts';
import { putPolicer, removePolicer } from './policer.ts';
import { putSet, removeSet } from './set.ts';
import { putCounter, putTable, removeTable } from './table.ts';

export type NftObject = Extract<KernelObject, { kind: `nft-${string}` | 'policer' }>;
export type NftStep = Extract<Step, { do: 'put' | 'remove' }> & { readonly object: NftObject };

export const isNft = (object: KernelObject): object is NftObject =>
  object.kind.startsWith('nft-') || object.kind === 'policer';

export interface NftFailure {
  readonly step: NftStep;
  readonly errno: string;
  readonly message: string;
}

interface Part {
  readonly step: NftStep;
  readonly message: Buffer;
  /** What to send in its place when the kernel answers with the errno; undefined is nothing. */
  readonly instead?: { readonly errno: string; readonly message: Buffer | undefined };
  /** A table's, sent without the flags that it was to have. */
  readonly ownerless?: true;
}

/** Empty on success. Otherwise nothing was done, and a step that the kernel had no objection to fails with ECANCELED. */
export function transact(session: Session, steps: readonly NftStep[]): NftFailure[] {
  let parts = steps.flatMap((step, at) => encode(step, at + 1));
  for (;;) {
    if (parts.length === 0) return [];
    const answers = session.netfilter.transaction(
      batchBegin(),
      parts.map(({ message }) => message),
      batchEnd(),
    );
    const failures = parts.flatMap((part, at) => {
      const answer = answers[at];
      return answer === undefined ? [] : [{ part, ...answerText(answer) }];
    });
    if (failures.length === 0) {
      noteOwnership(session, parts);
      return [];
    }
    const spared = new Map(
      failures
        .filter(({ part, errno }) => part.instead?.errno === errno)
        .map(({ part }) => [part, part.instead?.message]),
    );
    if (spared.size === 0) return failed(steps, failures);
    parts = parts.flatMap((part) => {
      if (!spared.has(part)) return [part];
      const message = spared.get(part);
      return message === undefined ? [] : [{ step: part.step, message, ownerless: true as const }];
    });
  }
}

function failed(
  steps: readonly NftStep[],
  failures: readonly { readonly part: Part; readonly errno: string; readonly message: string }[],
): NftFailure[] {
  return steps.map((step) => {
    const own = failures.find(({ part }) => part.step === step);
    return own === undefined
      ? { step, errno: 'ECANCELED', message: 'another step of the transaction failed' }
      : { step, errno: own.errno, message: own.message };
  });
}

/** A table that was put without the flags it was to have is as owned as this kernel lets it be. */
function noteOwnership(session: Session, parts: readonly Part[]): void {
  for (const { object, do: deed } of new Set(parts.map(({ step }) => step))) {
    if (object.kind !== 'nft-table' || deed !== 'put' || !object.owned) continue;
    const name = `${object.family} ${object.table}`;
    if (parts.some((part) => part.step.object === object && part.ownerless)) session.ownerless.add(name);
    else session.ownerless.delete(name);
  }
}

/** `id` names a set within the transaction. */
function encode(step: NftStep, id: number): Part[] {
  const { object } = step;
  if (step.do === 'remove') {
    return [{ step, message: encodeRemoval(object), instead: { errno: 'ENOENT', message: undefined } }];
  }
  switch (object.kind) {
    case 'nft-table':
      return [
        {
          step,
          message: putTable(object),
          ...(object.owned && { instead: { errno: 'EOPNOTSUPP', message: putTable({ ...object, owned: false }) } }),
        },
        ...object.counters.map((name) => ({ step, message: putCounter(object, name) })),
      ];
    case 'nft-set':
      return [{ step, message: putSet(object, object.set, id) }];
    case 'nft-chain':
      return putChain(object, object.chain).map((message) => ({ step, message }));
    case 'nft-element':
      return [{ step, message: putElement(object, object.set, object.element) }];
    case 'policer':
      return putPolicer(object).map((message) => ({ step, message }));
  }
}

function encodeRemoval(object: NftObject): Buffer {
  switch (object.kind) {
    case 'nft-table':
      return removeTable(object);
    case 'nft-set':
      return removeSet(object, object.set.name);
    case 'nft-chain':
      return removeChain(object, object.chain.name);
    case 'nft-element':
      return removeElement(object, object.set, object.element);
    case 'policer':
      return removePolicer(object);
  }
}
