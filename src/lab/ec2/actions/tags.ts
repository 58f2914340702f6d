/** CreateTags, DeleteTags and DescribeTags. The model changes tags of ENIs; other things keep what they were made with. */
import type { EniId } from '../../../core/brand.ts';
import type { Tags } from '../../../core/cloud.ts';
import { action, RETURN_TRUE } from '../action.ts';
import { describe } from '../describe.ts';
import { Ec2Error, notInLab } from '../ec2-error.ts';
import { flag, list, need, text } from '../fields.ts';
import type { Session } from '../session.ts';
import { mustBeFewEnough, tagParameter, tagsOf } from '../tags.ts';
import type { Content } from '../xml.ts';

/** DescribeTags' name for each kind of id. */
const RESOURCE_TYPES = { i: 'instance', vpc: 'vpc', subnet: 'subnet', rtb: 'route-table', eni: 'network-interface' };

const RESOURCES = { ResourceId: need(list(text())), DryRun: flag() };

export const createTags = action({
  parameters: { ...RESOURCES, Tag: need(tagParameter) },
  is: 'tag',
  async handle({ ResourceId, Tag }, session) {
    const enis = enisIn(ResourceId);
    const tags = tagsOf(Tag);
    for (const eni of enis) mustBeFewEnough(Object.keys({ ...session.truth.eni(eni)?.tags, ...tags }).length);
    await session.call('tag', { enis, tags });
    return RETURN_TRUE;
  },
});

export const deleteTags = action({
  parameters: { ...RESOURCES, Tag: tagParameter },
  is: 'untag',
  async handle({ ResourceId, Tag }, session) {
    const enis = enisIn(ResourceId);
    const isPlain = Tag.length > 0 && Tag.every(({ Value }) => Value === undefined);
    if (isPlain) await session.call('untag', { enis, keys: Tag.map(({ Key }) => Key) });
    // What goes depends on what each one has, so each is a change of its own.
    else for (const eni of enis) await session.call('untag', { enis: [eni], keys: keysToDelete(eni, Tag, session) });
    return RETURN_TRUE;
  },
});

/** EC2 API reference, DeleteTags: with a value only where it is that value; without any tag, all of them. */
function keysToDelete(
  eni: EniId,
  named: readonly { readonly Key: string; readonly Value?: string | undefined }[],
  session: Session,
): string[] {
  const tags = Object.entries(session.truth.eni(eni)?.tags ?? {});
  const doomed = tags.filter(
    ([key, value]) => named.length === 0 || named.some((tag) => tag.Key === key && (tag.Value ?? value) === value),
  );
  return doomed.map(([key]) => key);
}

function enisIn(ids: readonly string[]): EniId[] {
  return ids.map((id) => {
    if (!/^[a-z]+-[0-9a-f]{8,17}$/.test(id)) throw new Ec2Error('InvalidID', `The ID '${id}' is not valid`);
    if (!id.startsWith('eni-')) throw notInLab(`changes of tags of ${id}`);
    return id as EniId;
  });
}

export const describeTags = describe<string>('DescribeTags', {
  is: 'describe-enis',
  set: 'tagSet',
  key: ['resourceId', 'key'],
  filters: {
    paths: { key: 'key', 'resource-id': 'resourceId', 'resource-type': 'resourceType', value: 'value' },
    tagSet: '',
  },
  pageMax: 1_000,
  async rows(session) {
    const { vpcs, subnets, instances } = session.truth;
    const enis = await session.call('describe-enis', {});
    const others = [...vpcs.values(), ...subnets.values(), ...instances.values(), ...session.truth.routeTables()];
    return [...others, ...enis].flatMap(rowsOf);
  },
});

function rowsOf({ id: resourceId, tags }: { readonly id: string; readonly tags: Tags }): Content[] {
  const kind = resourceId.slice(0, resourceId.indexOf('-')) as keyof typeof RESOURCE_TYPES;
  return Object.entries(tags).map(([key, value]) => ({
    resourceId,
    resourceType: RESOURCE_TYPES[kind],
    key,
    value,
  }));
}
