/**
 * Deliberate bugs, each one edit of one file: stories, the small world or seeds have to find every one of them.
 */
import type { Mutation } from './mutation.ts';

export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'cooldown ignored on reuse',
    file: 'src/core/address.ts',
    find: '        if (!turn.due(cooledAtMs(turn, row, hurry))) break;\n',
    replace: '',
  },
  {
    name: 'cooldown ignored on release',
    file: 'src/core/shrink.ts',
    find: "(block) => block.state === 'ready' && turn.state.takenIn(block.id) === 0,",
    replace: "(block) => block.state === 'ready' && turn.state.takenIn(block.id) === turn.state.coolingIn(block.id),",
  },
  {
    name: 'cooldown forgotten over a restart',
    file: 'src/core/boot.ts',
    find: "      if (row.state === 'cooling')\n",
    replace:
      "      if (row.state === 'cooling') this.tx.remove('address', row.ip);\n      if (row.state === 'quarantined')\n",
  },
  {
    name: 'limits forgotten over a restart',
    file: 'src/core/state.ts',
    find: '    bandwidth,\n',
    replace: '',
  },
  {
    name: 'a limit outlives its pod',
    file: 'src/core/lease.ts',
    find: ', addresses, ...(bandwidth && { bandwidth }) });',
    replace: ', addresses });',
  },
  {
    name: 'a quarantined address is handed out',
    file: 'src/core/quarantine.ts',
    find: "    turn.tx.put('address', { ip, block, state: 'quarantined', sinceMs: turn.nowMs });\n",
    replace:
      "    if (known !== undefined) turn.tx.put('address', { ip, block, state: 'quarantined', sinceMs: turn.nowMs });\n",
  },
  {
    name: 'cooldown cut short though an address is free',
    file: 'src/core/step.ts',
    find: ' && waiting > holding(turn.state, pool, family).free',
    replace: '',
  },
  {
    name: 'cooldown cut short though more can be asked for',
    file: 'src/core/step.ts',
    find: '.free && !canGrow(turn, pool);',
    replace: '.free;',
  },
  {
    name: 'an unflushed address is reused as a flushed one',
    file: 'src/core/address.ts',
    find: "if (row.flushed !== 'yes') return",
    replace: "if (row.flushed === 'no') return",
  },
  {
    name: 'an ambiguous assign is repeated',
    file: 'src/core/operation.ts',
    find: 'if (hasToken && REPEATED.includes(kind)) wait',
    replace: 'if (REPEATED.includes(kind)) wait',
  },
  {
    name: 'a crashed assign is repeated',
    file: 'src/core/boot.ts',
    find: "(action === 'assign' && !token.assign) || ",
    replace: '',
  },
  {
    name: 'the token is made anew on resume',
    file: 'src/driver/effects.ts',
    find: 'provider.createEni({ subnet, groups, blocks, tags, token }, options)',
    replace:
      'provider.createEni({ subnet, groups, blocks, tags, token: `${token}-${performance.now()}` as OperationId }, options)',
  },
  {
    name: 'an address is free at once though its pod was wired in part',
    file: 'src/driver/effects.ts',
    find: "const unmade = fresh && failed.some(({ step }) => step?.do === 'create-veth');",
    replace: 'const unmade = fresh;',
  },
  {
    name: 'GC ends what was added a moment ago',
    file: 'src/core/requests.ts',
    find: 'turn.nowMs - lease.sinceMs < GC_AGE_MIN_MS || ',
    replace: '',
  },
  {
    name: "GC ends another network's pods",
    file: 'src/core/requests.ts',
    find: 'lease.attachment.network !== event.network || ',
    replace: '',
  },
  {
    name: 'effects run before the commit',
    file: 'src/driver/driver.ts',
    find: '    const rows = tx.journalRows();\n',
    replace:
      '    for (const effect of outcome.effects.splice(0)) this.runEffect(effect, nowMs);\n    const rows = tx.journalRows();\n',
  },
  {
    name: 'a failed commit is ignored',
    file: 'src/driver/driver.ts',
    find: '        tx.undo();\n        this.journalDown(messageOf(cause), events);\n        return;',
    replace: '        void cause;',
  },
  {
    name: 'give-back does not wait for the disk',
    file: 'src/driver/driver.ts',
    find: '    if (!effects.some(onDisk)) return effects;',
    replace: '    return effects;',
  },
  {
    name: 'an assign on the primary does not wait for the disk',
    file: 'src/core/durability.ts',
    find: "return eni.kind === 'primary';",
    replace: 'return false;',
  },
  {
    name: 'absence believed after one read',
    file: 'src/core/observe.ts',
    find: 'if (!agrees(turn, row.id, ABSENT, readMs, notBeforeMs)) return false;',
    replace: 'if (readMs < 0) return false;',
  },
  {
    name: 'blocks believed after one read',
    file: 'src/core/observe.ts',
    find: 'if (!agrees(turn, row.id, contents(facts), readMs, notBeforeMs)) return false;',
    replace: 'if (readMs < 0) return false;',
  },
  {
    name: 'notFound after create means gone',
    file: 'src/core/operation.ts',
    find: "else if (call.action === 'attach' && failure.kind === 'exhausted') giveUpAttach(turn, operation);",
    replace:
      "else if (call.action === 'attach' && failure.kind === 'notFound') eniGone(turn, eniOf(turn, operation) as EniPresent);\n  else if (call.action === 'attach' && failure.kind === 'exhausted') giveUpAttach(turn, operation);",
  },
  {
    name: 'reads decide before the dead call has landed',
    file: 'src/core/operation.ts',
    find: '  nowMs + Math.max(capabilities.callDeadlineMs, capabilities.listLagMs);',
    replace: '  nowMs + 0 * Math.max(capabilities.callDeadlineMs, capabilities.listLagMs);',
  },
  {
    name: 'an unassign in doubt is repeated while the first may land',
    file: 'src/core/operation.ts',
    find: "else if (call.action === 'unassign' && maybeDone) waitOut(turn, operation);",
    replace: '',
  },
  {
    name: 'a foreign ENI is taken for ours and drained',
    file: 'src/core/unknown-eni.ts',
    find: '  if (intent === undefined) {\n    if (facts.attachment',
    replace: '  if (intent === undefined && readMs < 0) {\n    if (facts.attachment',
  },
  {
    name: 'the sweep ignores the owner',
    file: 'src/core/cloud.ts',
    find: '  if (tags[OWNER_TAGS.cluster] !== owner.cluster || tags[OWNER_TAGS.instance] !== owner.instanceId) return undefined;\n',
    replace: '  if (tags[OWNER_TAGS.instance] !== owner.instanceId) return undefined;\n',
  },
  {
    name: 'the sweep ignores the age',
    file: 'src/core/unknown-eni.ts',
    find: 'seenForMs(turn, facts.id, readMs) >= SWEEP_AGE_MS',
    replace: 'seenForMs(turn, facts.id, readMs) >= 0 * SWEEP_AGE_MS',
  },
  {
    name: 'the primary is drained',
    file: 'src/core/shrink.ts',
    find: "      eni.kind === 'secondary' &&\n",
    replace: '',
  },
  {
    name: 'a drain is never cancelled',
    file: 'src/core/step.ts',
    find: '    while (cancelDrains(turn, pool)) handOut(turn, pool);\n',
    replace: '',
  },
  {
    name: 'DEL overtakes ADD',
    file: 'src/core/lease.ts',
    find: "  if (lease.busy !== undefined) {\n    turn.tx.put('lease', { ...lease, doomed: true });",
    replace: "  if (lease.busy === 'unwire') {\n    turn.tx.put('lease', { ...lease, doomed: true });",
  },
  {
    name: 'a repeated ADD gets a second address',
    file: 'src/core/step.ts',
    find: '    if (turn.state.leaseOf(waiter.key) !== undefined) continue;\n',
    replace: '',
  },
  {
    name: 'a failure of IPv6 leaves IPv4',
    file: 'src/core/address.ts',
    find: '    if (place === undefined) return undefined;\n    places.push(place);',
    replace:
      '    if (place === undefined && places.length === 0) return undefined;\n    if (place !== undefined) places.push(place);',
  },
  {
    name: 'a family is asked for where there is none of it',
    file: 'src/core/subnet.ts',
    find: '  if (!hasRange(subnet, family)) return Number.POSITIVE_INFINITY;\n',
    replace: '',
  },
  {
    name: 'a waiter that hung up is served',
    file: 'src/core/requests.ts',
    find: "    if (requests.length === 0) turn.tx.remove('waiter', waiter.key);\n    else turn.tx.put",
    replace: '    if (requests.length > 0) turn.tx.put',
  },
  {
    name: 'the last waiter is served first',
    file: 'src/core/state.ts',
    find: 'sort((a, b) => a.order - b.order)',
    replace: 'sort((a, b) => b.order - a.order)',
  },
  {
    name: 'an assign in flight is not counted',
    file: 'src/core/pool.ts',
    find: "    return call.wish.count * wishSize(family, call.wish.prefixLength);\n  if (call?.action !== 'create')",
    replace: "    return 0;\n  if (call?.action !== 'create')",
  },
  {
    name: 'an unassign races the hand-out',
    file: 'src/core/shrink.ts',
    find: "  for (const block of chosen) turn.tx.put('block', { ...block, state: 'releasing' });\n",
    replace: '',
  },
  {
    name: 'the ceiling is passed by one',
    file: 'src/core/grow.ts',
    find: 'export function grow(turn: Turn, pool: PoolRow): void {\n',
    replace:
      'export function grow(turn: Turn, given: PoolRow): void {\n  const pool = { ...given, targets: { ...given.targets, ceiling: given.targets.ceiling + 1 } };\n',
  },
  {
    name: 'the boot id is ignored',
    file: 'src/core/boot.ts',
    find: 'known.bootId !== identity.bootId;',
    replace: "known.bootId === '';",
  },
  {
    name: 'the epoch is dropped from ids',
    file: 'src/core/turn.ts',
    find: "`${this.state.get('node', 'node')?.epoch}-${nextId}`",
    replace: '`e-${nextId}`',
  },
  {
    name: 'a throttled assign is answered by a new ENI',
    file: 'src/core/grow.ts',
    find: '    take(lack, wish);\n    nextCalls += nextCallsOf(turn, bounds, wish);\n    // Counted',
    replace: '    if (operation === undefined && wish.count > 0) take(lack, { ...wish, count: 0 });\n    // Counted',
  },
  {
    name: 'shrink takes what grow fetched',
    file: 'src/core/shrink.ts',
    find: 'const keep = Math.max(floor, demand(turn.state, pool) + headroom + held.cooling);',
    replace: 'const keep = 0 * floor;',
  },
  {
    name: 'a wake-up is lost',
    file: 'src/core/turn.ts',
    find: '    this.wakeAt(atMs);\n    return false;',
    replace: '    if (this.wakeAtMs === undefined) return false;\n    this.wakeAt(atMs);\n    return false;',
  },
  {
    name: 'an address cools before its fence stands',
    file: 'src/core/lease.ts',
    find: "  turn.tx.put('lease', { ...lease, state: 'unwiring', busy: 'unwire', doomed: false });",
    replace:
      "  for (const ip of lease.addresses) turn.tx.remove('address', ip);\n  turn.tx.put('lease', { ...lease, state: 'unwiring', busy: 'unwire', doomed: false, addresses: [] });",
  },
  {
    name: 'a block serves before its fence stands',
    file: 'src/core/eni.ts',
    find: "turn.tx.put('block', { id, eni, state: 'installing', sync: turn.wantSync(), idleSinceMs: turn.nowMs });",
    replace: "turn.tx.put('block', { id, eni, state: 'ready', sync: turn.wantSync(), idleSinceMs: turn.nowMs });",
  },
  {
    name: 'a pod that somebody changed is not looked at',
    file: 'src/core/look.ts',
    find: '  if (lease !== undefined) wantLook(turn, lease);\n',
    replace: '',
  },
  {
    name: 'an ADD is answered before the kernel has it',
    file: 'src/core/lease.ts',
    find: "  turn.tx.put('lease', { ...lease, busy: 'wire' });\n",
    replace:
      "  turn.tx.put('lease', { ...lease, busy: 'wire' });\n  if (fresh) answer(turn, lease.adds, { kind: 'added', plan: podPlan(turn, lease), pool: lease.pool, enis: enisOfLease(turn.state, lease) });\n",
  },
  {
    name: 'a pod that never comes is expected for ever',
    file: 'src/core/bound.ts',
    find: 'const EXPECTED_MS = 120_000;',
    replace: 'const EXPECTED_MS = 1e12;',
  },
  {
    name: 'a bound pod that asks is counted twice',
    file: 'src/core/lease-index.ts',
    find: '    else if (pods.bound.has(name)) pods.silent += add ? -1 : 1;\n',
    replace: '',
  },
  {
    name: 'nothing is asked for until a bound pod asks',
    file: 'src/core/grow.ts',
    find: 'const pods = Math.max(demand(turn.state, pool), asked + expectedOf(turn.state, pool));',
    replace: 'const pods = asked;',
  },
];
